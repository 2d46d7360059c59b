// An exported policy, read from the JSON that rlbench/ship/plain_graph.py makes of an ONNX file, and asked.
const Graph = (() => {
  "use strict";
  const { make, from } = Tensors;
  const BYTES = {
    float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array, int16: Int16Array, int8: Int8Array,
    uint8: Uint8Array, bool: Uint8Array,
  };

  function decoded({ type, dims, data }) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const values = new BYTES[type](bytes.buffer);
    return type === "int64" ? from(type, dims, Array.from(values, Number)) : make(type, dims, values);
  }

  class Graph {
    // content: {constants: {name: {type, dims, data}}, nodes: [{op, inputs, outputs, attributes}], inputs, outputs}, where
    // inputs and outputs are the ports of the file's metadata.
    constructor(content) {
      this.inputs = content.inputs;
      this.outputs = content.outputs;
      this.constants = Object.fromEntries(Object.entries(content.constants).map(([name, one]) => [name, decoded(one)]));
      this.nodes = content.nodes.map((node) => ({
        ...node,
        attributes: Object.fromEntries(Object.entries(node.attributes).map(([name, value]) => (
          [name, value !== null && typeof value === "object" && "dims" in value ? decoded(value) : value]))),
      }));
      this.begin();
    }

    // An episode begins: what was remembered is forgotten.
    begin() { this.memory = {}; }

    // Every output by name, each a list of numbers, for one observation: {obs: numbers}, by the names of the inputs. What is
    // legal is everything, and what the policy remembers is kept until `begin`.
    ask(observation) {
      const known = { ...this.constants };
      for (const { name, role, shape, dtype } of this.inputs) {
        const dims = [1, ...shape];
        if (role === "mask") { known[name] = make("bool", dims); known[name].data.fill(1); }
        else if (role === "memory") known[name] = this.memory[name] || make(dtype, dims);
        else known[name] = from(dtype, dims, observation[name]);
      }
      for (const node of this.nodes) {
        const made = Operations[node.op](node.inputs.map((name) => (name ? known[name] : undefined)), node.attributes);
        node.outputs.forEach((name, i) => { known[name] = made[i]; });
      }
      for (const port of this.outputs) if (port.role === "memory") this.memory[port.of] = known[port.name];
      return Object.fromEntries(this.outputs.map(({ name }) => [name, Array.from(known[name].data)]));
    }
  }

  return Graph;
})();
