// The operations of ONNX (opset 18 and later) that exported policies are made of, each (inputs, attributes) -> outputs.
// Which they are is read by rlbench/ship/plain_graph.py too, by the names at the beginning of a line, before a page is made.
const Operations = (() => {
  "use strict";
  const { make, from, count, axisOf, commonDims, steps, elementwise, view, rows } = Tensors;
  const { list, turned, joined, sliced, padded, split, gathered, elements, reshaped, unsqueezed, squeezed } = Shapes;
  const TYPES = { 1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 11: "float64" };
  const each = (fn) => ([x]) => [elementwise(x.type, [x], fn)];
  const two = (fn) => ([a, b]) => [elementwise(a.type, [a, b], fn)];
  const test = (fn) => ([a, b]) => [elementwise("bool", [a, b], (x, y) => (fn(x, y) ? 1 : 0))];
  const fold = (fn) => (inputs) => [inputs.reduce((a, b) => elementwise(a.type, [a, b], fn))];
  const whole = (type) => type !== "float32" && type !== "float64";
  const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

  function even(x) {  // to the nearest whole number, half to even
    const low = Math.floor(x), rest = x - low;
    return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
  }

  function erf(x) {  // by its series, or its continued fraction (Abramowitz and Stegun 1964, 7.1.6 and 7.1.14)
    const size = Math.abs(x), factor = Math.exp(-size * size) / Math.sqrt(Math.PI);
    if (size < 3) {
      let term = size, sum = size;
      for (let n = 1; term > 1e-17 * sum; n++) { term *= (2 * size * size) / (2 * n + 1); sum += term; }
      return Math.sign(x) * 2 * factor * sum;
    }
    let below = size;
    for (let n = 60; n > 0; n--) below = size + n / 2 / below;
    return Math.sign(x) * (1 - factor / below);
  }

  function cast(x, type) {
    if (type === "bool") return elementwise(type, [x], (v) => (v !== 0 ? 1 : 0));
    return elementwise(type, [x], whole(type) ? Math.trunc : (v) => v);
  }

  function multiplied(a, b) {
    const left = a.dims.length === 1 ? [1, ...a.dims] : a.dims, right = b.dims.length === 1 ? [...b.dims, 1] : b.dims;
    const [m, k] = left.slice(-2), [other, n] = right.slice(-2);
    if (k !== other) throw new Error(`(${a.dims}) and (${b.dims}) cannot be multiplied`);
    const batch = commonDims([left.slice(0, -2), right.slice(0, -2), []]);
    const lead = (dims) => {  // where each matrix of the batch begins
      const some = make("int32", dims.slice(0, -2)), size = dims.at(-2) * dims.at(-1);
      some.data.forEach((_, i) => { some.data[i] = i * size; });
      return view(some, batch, steps(some, batch)).data;
    };
    const out = make(a.type, [...batch, m, n]), as = lead(left), bs = lead(right);
    for (let o = 0; o < count(batch); o++) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let l = 0; l < k; l++) sum += a.data[as[o] + i * k + l] * b.data[bs[o] + l * n + j];
          out.data[(o * m + i) * n + j] = sum;
        }
      }
    }
    if (a.dims.length === 1) out.dims.splice(-2, 1);
    if (b.dims.length === 1) out.dims.pop();
    return out;
  }

  function reduced(fn) {
    return ([x, given], { axes, keepdims = 1, noop_with_empty_axes: noop = 0 }) => {
      const chosen = given ? list(given) : axes || [];
      if (!chosen.length && noop) return [x];
      const over = chosen.length ? chosen.map((axis) => axisOf(axis, x.dims.length)) : x.dims.map((_, i) => i);
      const kept = x.dims.map((_, i) => i).filter((i) => !over.includes(i));
      const last = turned(x, [...kept, ...over]), n = count(over.map((i) => x.dims[i]));
      const dims = keepdims ? x.dims.map((size, i) => (over.includes(i) ? 1 : size)) : kept.map((i) => x.dims[i]);
      const out = make(x.type, dims);
      for (let i = 0; i < out.data.length; i++) out.data[i] = fn(last.data.subarray(i * n, (i + 1) * n));
      return [out];
    };
  }

  const sum = (values) => values.reduce((a, b) => a + b, 0);

  function softmax(logarithm) {
    return ([x], { axis = -1 }) => {
      const out = make(x.type, x.dims);
      rows(x, axisOf(axis, x.dims.length), (start, step, n) => {
        let most = -Infinity, total = 0;
        for (let i = 0; i < n; i++) most = Math.max(most, x.data[start + i * step]);
        for (let i = 0; i < n; i++) total += Math.exp(x.data[start + i * step] - most);
        for (let i = 0; i < n; i++) {
          const rest = x.data[start + i * step] - most;
          out.data[start + i * step] = logarithm ? rest - Math.log(total) : Math.exp(rest) / total;
        }
      });
      return [out];
    };
  }

  function extreme(better) {
    return ([x], { axis = 0, keepdims = 1, select_last_index: last = 0 }) => {
      const along = axisOf(axis, x.dims.length);
      const dims = keepdims ? x.dims.map((n, i) => (i === along ? 1 : n)) : x.dims.filter((_, i) => i !== along);
      const out = make("int64", dims);
      rows(x, along, (start, step, n, row) => {
        let at = 0;
        for (let i = 1; i < n; i++) {
          const a = x.data[start + i * step], b = x.data[start + at * step];
          if (better(a, b) || (last && a === b)) at = i;
        }
        out.data[row] = at;
      });
      return [out];
    };
  }

  function oneHot([index, depth, values], { axis = -1 }) {
    const n = depth.data[0], along = axisOf(axis, index.dims.length + 1), dims = index.dims.slice();
    dims.splice(along, 0, n);
    const out = make(values.type, dims);
    out.data.fill(values.data[0]);
    rows(out, along, (start, step, _, row) => {
      const at = axisOf(index.data[row], n);
      if (at >= 0 && at < n) out.data[start + at * step] = values.data[1];
    });
    return [out];
  }

  function normalized([x, scale, bias], { axis = -1, epsilon = 1e-5 }) {
    const along = axisOf(axis, x.dims.length), n = count(x.dims.slice(along)), out = make(x.type, x.dims);
    for (let at = 0; at < x.data.length; at += n) {
      const row = x.data.subarray(at, at + n), mean = sum(row) / n;
      const deviation = Math.sqrt(row.reduce((a, v) => a + (v - mean) * (v - mean), 0) / n + epsilon);
      for (let i = 0; i < n; i++) {
        out.data[at + i] = ((row[i] - mean) / deviation) * scale.data[i % scale.data.length] + (bias ? bias.data[i % bias.data.length] : 0);
      }
    }
    return [out];
  }

  function product([a, b, c], { alpha = 1, beta = 1, transA = 0, transB = 0 }) {
    const found = multiplied(transA ? turned(a) : a, transB ? turned(b) : b);
    return [c ? elementwise(a.type, [found, c], (x, y) => alpha * x + beta * y) : elementwise(a.type, [found], (x) => alpha * x)];
  }

  function convolved([x, w, bias], { strides: by = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], group = 1, auto_pad: auto = "NOTSET" }) {
    if (x.dims.length !== 4 || auto !== "NOTSET") throw new Error("only convolutions of pictures with given pads");
    const [batch, channels, height, width] = x.dims, [filters, depth, kh, kw] = w.dims;
    const size = (n, k, i) => Math.floor((n + pads[i] + pads[i + 2] - dilations[i] * (k - 1) - 1) / by[i]) + 1;
    const out = make(x.type, [batch, filters, size(height, kh, 0), size(width, kw, 1)]), [, , tall, wide] = out.dims;
    let at = 0;
    for (let b = 0; b < batch; b++) for (let f = 0; f < filters; f++) {
      const first = Math.floor(f / (filters / group)) * depth;
      for (let row = 0; row < tall; row++) for (let column = 0; column < wide; column++) {
        let total = bias ? bias.data[f] : 0;
        for (let c = 0; c < depth; c++) for (let i = 0; i < kh; i++) {
          const y = row * by[0] + i * dilations[0] - pads[0];
          if (y < 0 || y >= height) continue;
          for (let j = 0; j < kw; j++) {
            const z = column * by[1] + j * dilations[1] - pads[1];
            if (z < 0 || z >= width) continue;
            total += x.data[((b * channels + first + c) * height + y) * width + z] * w.data[((f * depth + c) * kh + i) * kw + j];
          }
        }
        out.data[at++] = total;
      }
    }
    return [out];
  }

  return {
    Abs: each(Math.abs),
    Add: two((x, y) => x + y),
    And: test((x, y) => x && y),
    ArgMax: extreme((a, b) => a > b),
    ArgMin: extreme((a, b) => a < b),
    Cast: ([x], { to }) => [cast(x, TYPES[to])],
    Ceil: each(Math.ceil),
    Clip: ([x, low, high]) => [elementwise(x.type, [x], (v) => Math.min(Math.max(v, low ? low.data[0] : -Infinity), high ? high.data[0] : Infinity))],
    Concat: (inputs, { axis }) => [joined(inputs, axis)],
    ConstantOfShape: ([dims], { value }) => { const out = make(value ? value.type : "float32", list(dims)); out.data.fill(value ? value.data[0] : 0); return [out]; },
    Conv: convolved,
    Cos: each(Math.cos),
    Div: ([a, b]) => [elementwise(a.type, [a, b], whole(a.type) ? (x, y) => Math.trunc(x / y) : (x, y) => x / y)],
    Elu: ([x], { alpha = 1 }) => [elementwise(x.type, [x], (v) => (v > 0 ? v : alpha * Math.expm1(v)))],
    Equal: test((x, y) => x === y),
    Erf: each(erf),
    Exp: each(Math.exp),
    Expand: ([x, given]) => { const dims = commonDims([x.dims, list(given)]); return [view(x, dims, steps(x, dims))]; },
    Flatten: ([x], { axis = 1 }) => { const n = count(x.dims.slice(0, axisOf(axis, x.dims.length))); return [make(x.type, [n, x.data.length / n], x.data)]; },
    Floor: each(Math.floor),
    Gather: gathered,
    GatherElements: elements,
    Gelu: ([x], { approximate = "none" }) => [elementwise(x.type, [x], approximate === "tanh"
      ? (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v)))
      : (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)))],
    Gemm: product,
    Greater: test((x, y) => x > y),
    GreaterOrEqual: test((x, y) => x >= y),
    Identity: ([x]) => [x],
    IsNaN: ([x]) => [elementwise("bool", [x], (v) => (Number.isNaN(v) ? 1 : 0))],
    LayerNormalization: normalized,
    LeakyRelu: ([x], { alpha = 0.01 }) => [elementwise(x.type, [x], (v) => (v < 0 ? alpha * v : v))],
    Less: test((x, y) => x < y),
    LessOrEqual: test((x, y) => x <= y),
    Log: each(Math.log),
    LogSoftmax: softmax(true),
    MatMul: ([a, b]) => [multiplied(a, b)],
    Max: fold((x, y) => (x > y || Number.isNaN(x) ? x : y)),
    Mean: (inputs) => [elementwise(inputs[0].type, [inputs.reduce((a, b) => elementwise(a.type, [a, b], (x, y) => x + y))], (x) => x / inputs.length)],
    Min: fold((x, y) => (x < y || Number.isNaN(x) ? x : y)),
    Mod: ([a, b], { fmod = 0 }) => [elementwise(a.type, [a, b], fmod ? (x, y) => x % y : (x, y) => x - y * Math.floor(x / y))],
    Mul: two((x, y) => x * y),
    Neg: each((x) => -x),
    Not: ([x]) => [elementwise("bool", [x], (v) => (v ? 0 : 1))],
    OneHot: oneHot,
    Or: test((x, y) => x || y),
    Pad: padded,
    Pow: two((x, y) => (y === 2 ? x * x : x ** y)),
    Range: ([start, limit, by]) => { const n = Math.max(0, Math.ceil((limit.data[0] - start.data[0]) / by.data[0])); return [from(start.type, [n], Array.from({ length: n }, (_, i) => start.data[0] + i * by.data[0]))]; },
    Reciprocal: each((x) => 1 / x),
    ReduceL2: reduced((values) => Math.sqrt(values.reduce((a, b) => a + b * b, 0))),
    ReduceMax: reduced((values) => values.reduce((a, b) => Math.max(a, b), -Infinity)),
    ReduceMean: reduced((values) => sum(values) / values.length),
    ReduceMin: reduced((values) => values.reduce((a, b) => Math.min(a, b), Infinity)),
    ReduceProd: reduced((values) => values.reduce((a, b) => a * b, 1)),
    ReduceSum: reduced(sum),
    ReduceSumSquare: reduced((values) => values.reduce((a, b) => a + b * b, 0)),
    Relu: each((x) => (x > 0 || Number.isNaN(x) ? x : 0)),
    Reshape: reshaped,
    Round: each(even),
    Selu: ([x], { alpha = 1.6732632423543772, gamma = 1.0507009873554805 }) => [elementwise(x.type, [x], (v) => gamma * (v > 0 ? v : alpha * Math.expm1(v)))],
    Shape: ([x], { start = 0, end }) => { const dims = x.dims.slice(start, end); return [from("int64", [dims.length], dims)]; },
    Sigmoid: each(sigmoid),
    Sign: each(Math.sign),
    Sin: each(Math.sin),
    Slice: ([x, starts, ends, axes, by]) => [sliced(x, list(starts), list(ends), axes && list(axes), by && list(by))],
    Softmax: softmax(false),
    Softplus: each((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
    Split: split,
    Sqrt: each(Math.sqrt),
    Squeeze: squeezed,
    Sub: two((x, y) => x - y),
    Sum: fold((x, y) => x + y),
    Tanh: each(Math.tanh),
    Tile: ([x, repeats]) => [list(repeats).reduce((y, n, axis) => joined(new Array(n).fill(y), axis), x)],
    Transpose: ([x], { perm }) => [turned(x, perm)],
    Unsqueeze: unsqueezed,
    Where: ([condition, a, b]) => [elementwise(a.type, [condition, a, b], (c, x, y) => (c ? x : y))],
    Xor: test((x, y) => !x !== !y),
  };
})();
