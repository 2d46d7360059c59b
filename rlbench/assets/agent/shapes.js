// What a graph does to the shapes of tensors, and to where their numbers stand: joined, cut out, padded, picked, turned.
const Shapes = (() => {
  "use strict";
  const { make, count, axisOf, strides, view } = Tensors;
  const list = (tensor) => Array.from(tensor.data);

  function turned(x, perm) {
    const along = strides(x.dims), order = perm || x.dims.map((_, i) => x.dims.length - 1 - i);
    return view(x, order.map((i) => x.dims[i]), order.map((i) => along[i]));
  }

  function joined(inputs, axis) {
    const along = axisOf(axis, inputs[0].dims.length), dims = inputs[0].dims.slice();
    dims[along] = inputs.reduce((total, x) => total + x.dims[along], 0);
    const out = make(inputs[0].type, dims), inner = count(dims.slice(along + 1)), outer = count(dims.slice(0, along));
    for (let o = 0, at = 0; o < outer; o++) {
      for (const x of inputs) {
        const size = x.dims[along] * inner;
        out.data.set(x.data.subarray(o * size, (o + 1) * size), at);
        at += size;
      }
    }
    return out;
  }

  function sliced(x, starts, ends, axes, by) {
    const dims = x.dims.slice(), along = strides(x.dims);
    let begin = 0;
    starts.forEach((given, i) => {
      const axis = axisOf(axes ? axes[i] : i, x.dims.length), n = x.dims[axis], step = by ? by[i] : 1;
      const within = (at, low, high) => Math.min(Math.max(at < 0 ? at + n : at, low), high);
      const start = step > 0 ? within(given, 0, n) : within(given, 0, n - 1);
      const end = step > 0 ? within(ends[i], 0, n) : within(ends[i], -1, n - 1);
      dims[axis] = Math.max(0, Math.ceil((end - start) / step));
      begin += start * along[axis];
      along[axis] *= step;
    });
    return view(x, dims, along, begin);
  }

  function padded([x, pads, value, axes], { mode = "constant" }) {
    const rank = x.dims.length, along = axes ? list(axes).map((axis) => axisOf(axis, rank)) : x.dims.map((_, i) => i);
    const before = new Array(rank).fill(0), dims = x.dims.slice();
    along.forEach((axis, i) => {
      before[axis] = pads.data[i];
      dims[axis] += pads.data[i] + pads.data[i + along.length];
    });
    const at = (i, n) => {  // which of n it is that stands at place i
      if (mode === "edge") return Math.min(Math.max(i, 0), n - 1);
      if (mode === "wrap") return ((i % n) + n) % n;
      if (mode === "constant") return i >= 0 && i < n ? i : -1;
      const turn = ((i % (2 * n - 2)) + 2 * n - 2) % (2 * n - 2);  // reflect
      return Math.min(turn, 2 * n - 2 - turn);
    };
    const out = make(x.type, dims), own = strides(x.dims), each = strides(dims), beyond = value ? value.data[0] : 0;
    for (let i = 0; i < out.data.length; i++) {
      let from = 0;
      for (let axis = 0; axis < rank && from >= 0; axis++) {
        const place = at((Math.floor(i / each[axis]) % dims[axis]) - before[axis], x.dims[axis]);
        from = place < 0 ? -1 : from + place * own[axis];
      }
      out.data[i] = from < 0 ? beyond : x.data[from];
    }
    return [out];
  }

  function split([x, given], { axis = 0, num_outputs: parts }) {
    const along = axisOf(axis, x.dims.length), n = x.dims[along], size = Math.ceil(n / parts);
    const sizes = given ? list(given) : Array.from({ length: parts }, (_, i) => Math.min(size, n - i * size));
    let at = 0;
    return sizes.map((width) => sliced(x, [at], [(at += width)], [along]));
  }

  function gathered([x, index], { axis = 0 }) {
    const along = axisOf(axis, x.dims.length), n = x.dims[along], inner = count(x.dims.slice(along + 1));
    const outer = count(x.dims.slice(0, along)), picks = list(index).map((i) => axisOf(i, n));
    const out = make(x.type, [...x.dims.slice(0, along), ...index.dims, ...x.dims.slice(along + 1)]);
    for (let o = 0, at = 0; o < outer; o++) {
      for (const pick of picks) {
        if (!(pick >= 0 && pick < n)) throw new Error(`index ${pick} is beyond ${n}`);
        out.data.set(x.data.subarray((o * n + pick) * inner, (o * n + pick + 1) * inner), at);
        at += inner;
      }
    }
    return [out];
  }

  function elements([x, index], { axis = 0 }) {
    const along = axisOf(axis, x.dims.length), by = strides(x.dims), out = make(x.type, index.dims);
    const places = view({ ...x, type: "int32", data: Int32Array.from(x.data.keys()) }, index.dims, by.map((s, i) => (i === along ? 0 : s)));
    out.data.forEach((_, i) => { out.data[i] = x.data[places.data[i] + axisOf(index.data[i], x.dims[along]) * by[along]]; });
    return [out];
  }

  function reshaped([x, given], { allowzero = 0 }) {
    const dims = list(given).map((n, i) => (n === 0 && !allowzero ? x.dims[i] : n)), open = dims.indexOf(-1);
    if (open >= 0) dims[open] = x.data.length / -count(dims);
    if (count(dims) !== x.data.length) throw new Error(`(${x.dims}) cannot be seen as (${dims})`);
    return [make(x.type, dims, x.data)];
  }

  function unsqueezed([x, axes]) {
    const rank = x.dims.length + axes.data.length, added = list(axes).map((axis) => axisOf(axis, rank)), rest = x.dims.slice();
    return [make(x.type, Array.from({ length: rank }, (_, i) => (added.includes(i) ? 1 : rest.shift())), x.data)];
  }

  function squeezed([x, axes]) {
    const gone = axes && list(axes).map((axis) => axisOf(axis, x.dims.length));
    return [make(x.type, x.dims.filter((n, i) => (gone ? !gone.includes(i) : n !== 1)), x.data)];
  }

  return { list, turned, joined, sliced, padded, split, gathered, elements, reshaped, unsqueezed, squeezed };
})();
