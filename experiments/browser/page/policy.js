// An exported policy, by ONNX Runtime Web: what the file says of itself, whether it fits a world, and its answers.
const Policy = (() => {
  "use strict";
  ort.env.wasm.numThreads = 1;  // so that no server has to send the headers that threads need
  ort.env.wasm.wasmPaths = new URL("packages/", document.baseURI).href;
  const ARRAYS = {
    float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array, int16: Int16Array, int8: Int8Array,
    uint8: Uint8Array, bool: Uint8Array,
  };

  // Metadata of an ONNX file, which the runtime does not give away: key -> value of the fields 14 of a ModelProto.
  // Source: the wire format of Protocol Buffers, and onnx.proto.
  function metadata(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), found = {};
    const fields = function* (from, to) {
      let at = from;
      const varint = () => {
        let value = 0;
        for (let scale = 1; ; scale *= 128) {
          const byte = view.getUint8(at++);
          value += (byte & 127) * scale;
          if (byte < 128) return value;
        }
      };
      while (at < to) {
        const tag = varint(), kind = tag & 7;
        if (kind === 0) varint();
        else if (kind === 1) at += 8;
        else if (kind === 5) at += 4;
        else if (kind === 2) {
          const size = varint();
          if (at + size > to) throw new RangeError("a field is longer than the file");
          yield [Math.floor(tag / 8), at, at + size];
          at += size;
        } else throw new RangeError("no Protocol Buffers");
      }
    };
    const text = (from, to) => new TextDecoder().decode(bytes.subarray(from, to));
    for (const [number, from, to] of fields(0, bytes.length)) {
      if (number !== 14) continue;
      const pair = {};
      for (const [part, begin, end] of fields(from, to)) pair[part] = text(begin, end);
      found[pair[1]] = pair[2];
    }
    return found;
  }

  class Unfit extends Error {}

  // What a file says of itself. Unfit: it is none of rlbench's.
  function said(bytes, name) {
    let found;
    try { found = metadata(bytes); } catch { throw new Unfit(`${name} is no ONNX file, or damaged.`); }
    if (!found.rlbench) throw new Unfit(`${name} says nothing of rlbench. Export a run: rlbench export RUN --to onnx --out ${name}`);
    try { return JSON.parse(found.rlbench); } catch { throw new Unfit(`${name} says of itself what this page cannot read.`); }
  }

  const shape = (dims) => `(${dims.join(", ")}${dims.length === 1 ? "," : ""})`;

  // The world that a file plays. Unfit: there is none here, or its spaces are others.
  function worldOf(about, name) {
    const world = Worlds[about.env];
    if (!world) {
      throw new Unfit(`${name} plays ${about.env}, of which this page has no physics. It has ${Object.keys(Worlds).join(", ")}.`);
    }
    const here = `${world.obs.type} numbers of shape ${shape(world.obs.shape)}`;
    const { type, shape: dims, dtype } = about.obs;
    if (type !== "Box" || dtype !== world.obs.type || String(dims) !== String(world.obs.shape)) {
      const wants = type === "Box" ? `${dtype} numbers of shape ${shape(dims)}` : `a ${type}`;
      throw new Unfit(`${name} takes ${wants} as observations, and ${about.env} here gives ${here}: was there a wrapper around it?`);
    }
    const act = about.action, many = world.actions.length;
    if (many ? act.type !== "Discrete" || act.n !== many || act.start !== 0 : act.type !== "Box" || String(act.shape) !== "1") {
      const gives = act.type === "Discrete" ? `${act.n} actions` : `a ${act.type}`;
      throw new Unfit(`${name} chooses among ${gives}, and ${about.env} here takes ${many ? `${many} actions` : "one number"}.`);
    }
    return world;
  }

  class Policy {
    // bytes: a Uint8Array, all of an .onnx file. Unfit says in its message what is wrong with it.
    static async open(bytes, name) {
      const about = said(bytes, name), world = worldOf(about, name), policy = new Policy();
      try {
        policy.session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
      } catch (error) { throw new Unfit(`${name} cannot be opened: ${String(error.message || error).split("\n")[0]}`); }
      Object.assign(policy, { about, world, name, times: [] });
      policy.begin();
      return policy;
    }

    begin() { this.memory = {}; }

    async ask(observation) {
      const feeds = {};
      for (const { name, role, shape: dims, dtype } of this.about.inputs) {
        const whole = [1, ...dims], size = whole.reduce((a, b) => a * b, 1);
        if (role === "memory" && this.memory[name]) { feeds[name] = this.memory[name]; continue; }
        const data = new ARRAYS[dtype](size);
        if (role === "mask") data.fill(1);
        else if (role === "obs") data.set(dtype === "int64" ? observation[name].map(BigInt) : observation[name]);
        feeds[name] = new ort.Tensor(dtype, data, whole);
      }
      const before = performance.now(), made = await this.session.run(feeds);
      this.times.push(performance.now() - before);
      if (this.times.length > 500) this.times.shift();
      for (const port of this.about.outputs) if (port.role === "memory") this.memory[port.of] = made[port.name];
      return Object.fromEntries(this.about.outputs.map(({ name }) => [name, Array.from(made[name].data, Number)]));
    }

    // Mean time of an answer, in milliseconds: the clocks of browsers go by tenths of one.
    get pace() { return this.times.reduce((a, b) => a + b, 0) / this.times.length; }
  }

  return Object.assign(Policy, { Unfit, metadata });
})();
