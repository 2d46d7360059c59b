// The page: which policy plays, files of one's own, and what went wrong.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const show = new Show(byId("agent")), chips = new Map();

  function say(text) {
    byId("message").textContent = text;
    byId("message").hidden = !text;
  }

  function tell({ about, name }, bytes) {
    const seeds = about.seeds.join(", ") + (about.vote ? ` (${about.vote} vote)` : "");
    const rows = {
      file: `${name}, ${(bytes.length / 1024).toFixed(0)} KiB`, environment: about.env, agent: about.agent, seed: seeds,
      "env steps": about.env_steps.toLocaleString("en"), checkpoint: `SHA-256 ${about.checkpoint}`,
      "written with": Object.entries(about.versions).map(([what, version]) => `${what} ${version}`).join(", "),
      "computed by": `ONNX Runtime Web ${ort.env.versions.web || ort.env.versions.common}, WebAssembly, one thread`,
    };
    byId("about").replaceChildren(...Object.entries(rows).flatMap(([key, value]) => {
      const parts = [document.createElement("dt"), document.createElement("dd")];
      parts[0].textContent = key;
      parts[1].textContent = value;
      return parts;
    }), ...["dt", "dd"].map((tag) => Object.assign(document.createElement(tag), tag === "dt" ? { textContent: "an answer" } : { id: "pace" })));
  }

  // Of several that are opened at once, the one that was asked for last plays, or says what is wrong with it.
  let newest = null;

  async function open(bytes, name, turn = (newest = {})) {
    try {
      const policy = await Policy.open(bytes, name);
      if (turn !== newest) return;
      say("");
      await show.play({ env: policy.about.env, world: policy.world, scene: Scenes[policy.about.env], policy });
      if (turn !== newest) return;
      tell(policy, bytes);
      for (const [of, chip] of chips) chip.setAttribute("aria-pressed", String(of === name));
      window.policy = policy;
      show.start();
    } catch (error) {
      if (!(error instanceof Policy.Unfit)) throw error;
      if (turn === newest) say(error.message);
    }
  }

  async function take(file) {
    if (!file) return;
    newest = null;
    if (!file.name.toLowerCase().endsWith(".onnx")) { say(`${file.name} is no .onnx file. Export a run: rlbench export RUN --to onnx --out policy.onnx`); return; }
    await open(new Uint8Array(await file.arrayBuffer()), file.name);
  }

  async function packed(name) {
    const turn = (newest = {}), answer = await fetch(`policies/${encodeURIComponent(name)}`);
    if (!answer.ok) { say(`policies/${name} cannot be read: ${answer.status}`); return; }
    await open(new Uint8Array(await answer.arrayBuffer()), name, turn);
  }

  byId("file").addEventListener("change", async (event) => { await take(event.target.files[0]); event.target.value = ""; });
  let inside = 0;  // dragenter comes before dragleave, of whatever lies below
  addEventListener("dragenter", (event) => { event.preventDefault(); inside++; byId("drop").hidden = false; });
  addEventListener("dragleave", () => { if (--inside <= 0) { inside = 0; byId("drop").hidden = true; } });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    byId("drop").hidden = true;
    take(event.dataTransfer.files[0]);
  });
  setInterval(() => {
    if (window.policy && byId("pace") && window.policy.times.length) byId("pace").textContent = `${(1000 * window.policy.pace).toFixed(0)} µs, mean of the last ${window.policy.times.length}`;
  }, 1000);

  (async () => {
    if (location.protocol === "file:") { say("This page has to come from a server: python -m http.server --directory THIS_FOLDER, then http://localhost:8000/"); return; }
    const names = await (await fetch("policies/list.json")).json();
    for (const name of names) {
      const chip = document.createElement("button");
      Object.assign(chip, { type: "button", className: "chip", textContent: name.replace(/\.onnx$/, "") });
      chip.addEventListener("click", () => packed(name));
      chips.set(name, chip);
      byId("files").insertBefore(chip, byId("open"));
    }
    if (names.length) await packed(names[0]);
    else say("No policy was packed with this page: open one of yours.");
  })();
})();
