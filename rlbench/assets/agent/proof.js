// Run by Node.js before a page is kept, after the files of its physics and its policy: see rlbench/ship/page_proof.py.
const said = JSON.parse(require("fs").readFileSync(0, "utf8"));
const graph = new Graph(said.graph), world = Worlds[said.env];

// The largest difference of two lists; infinite where they are no numbers, or not as many.
function gap(a, b) {
  if (a.length !== b.length) return Infinity;
  return a.reduce((most, x, i) => Math.max(most, Number.isFinite(x) ? Math.abs(x - b[i]) : Infinity), 0);
}

const answers = said.sequences.map((all) => { graph.begin(); return all.map((obs) => graph.ask({ obs })); });
const found = { begin: gap(world.start(new Random(said.seed)), said.states[0]), states: 0, rewards: 0, seen: 0, ends: 0 };
said.actions.forEach((action, t) => {
  const [state, reward, terminated] = world.step(said.states[t], action);
  found.states = Math.max(found.states, gap(state, said.states[t + 1]));
  found.rewards = Math.max(found.rewards, gap([reward], [said.rewards[t]]));
  found.seen = Math.max(found.seen, gap(world.see(state), said.seen[t + 1]));
  found.ends += terminated !== said.terminated[t];
});
console.log(JSON.stringify({ answers, found, node: process.version }));
