// What a graph computes with: tensors {type, dims, data}, rows first. 64-bit whole numbers are kept as float64, exact up to
// 2**53, and float32 numbers are rounded as they are stored; sums run in float64.
const Tensors = (() => {
  "use strict";
  const STORE = {
    float32: Float32Array, float64: Float64Array, int64: Float64Array, int32: Int32Array, int16: Int16Array,
    int8: Int8Array, uint8: Uint8Array, bool: Uint8Array,
  };

  const count = (dims) => dims.reduce((product, n) => product * n, 1);
  const make = (type, dims, data) => ({ type, dims, data: data || new STORE[type](count(dims)) });
  const from = (type, dims, values) => make(type, dims, STORE[type].from(values));
  const axisOf = (axis, rank) => (axis < 0 ? axis + rank : axis);

  function strides(dims) {
    const found = new Array(dims.length);
    for (let i = dims.length - 1, step = 1; i >= 0; step *= dims[i--]) found[i] = step;
    return found;
  }

  function commonDims(all) {
    const rank = Math.max(...all.map((dims) => dims.length));
    return Array.from({ length: rank }, (_, i) => {
      const sizes = all.map((dims) => dims[i - rank + dims.length]).filter((n) => n !== undefined && n !== 1);
      if (sizes.some((n) => n !== sizes[0])) throw new Error(`shapes ${all.map((d) => `(${d})`).join(" and ")} do not fit`);
      return sizes.length ? sizes[0] : 1;
    });
  }

  // How far one goes in a tensor's data for a step along each axis of `dims`: 0 where it is repeated.
  function steps(tensor, dims) {
    const own = strides(tensor.dims), shift = dims.length - tensor.dims.length;
    return dims.map((_, i) => (i < shift || tensor.dims[i - shift] === 1 ? 0 : own[i - shift]));
  }

  // Calls visit(index of the result, offsets into each tensor) for every element of `dims`.
  function walk(dims, along, begin, visit) {
    const total = count(dims), at = new Array(dims.length).fill(0), offsets = begin.slice();
    for (let i = 0; i < total; i++) {
      visit(i, offsets);
      for (let axis = dims.length - 1; axis >= 0; axis--) {
        const wraps = ++at[axis] === dims[axis];
        if (wraps) at[axis] = 0;
        for (let k = 0; k < offsets.length; k++) offsets[k] += along[k][axis] * (wraps ? 1 - dims[axis] : 1);
        if (!wraps) break;
      }
    }
  }

  // fn of elements of tensors that are repeated to one shape.
  function elementwise(type, inputs, fn) {
    const dims = commonDims(inputs.map((x) => x.dims)), out = make(type, dims);
    const [a, b, c] = inputs.map((x) => x.data);
    walk(dims, inputs.map((x) => steps(x, dims)), inputs.map(() => 0), (i, at) => {
      out.data[i] = fn(a[at[0]], b && b[at[1]], c && c[at[2]]);
    });
    return out;
  }

  // A tensor read with other strides: what Transpose, Slice and Expand are.
  function view(tensor, dims, along, begin = 0) {
    const out = make(tensor.type, dims);
    walk(dims, [along], [begin], (i, [at]) => { out.data[i] = tensor.data[at]; });
    return out;
  }

  // The rows along one axis: visit(start, step, n, index of the row).
  function rows(tensor, axis, visit) {
    const n = tensor.dims[axis], step = count(tensor.dims.slice(axis + 1)), outer = count(tensor.dims.slice(0, axis));
    for (let o = 0, row = 0; o < outer; o++) for (let i = 0; i < step; i++) visit(o * n * step + i, step, n, row++);
  }

  return { make, from, count, axisOf, strides, commonDims, steps, elementwise, view, rows };
})();
