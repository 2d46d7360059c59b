// Run by Node.js, after Planck, the physics, the policy and lander.js: see experiments/browser/lander.py.
const { readFileSync } = require("fs"), said = JSON.parse(readFileSync(0, "utf8"));
const graph = new Graph(said.graph), world = Worlds[said.env], limit = world.limit;
const gap = (a, b) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);
console.log(JSON.stringify(said.episodes.map(({ seen, actions }, seed) => {
  let it = world.start(new Random(seed)), total = 0, over = false, steps = 0;
  const gaps = [gap(world.see(it), seen[0])];
  for (let t = 0, ended = false; t < actions.length && !ended; t++) {
    ended = world.step(it, actions[t])[2];
    gaps.push(gap(world.see(it), seen[t + 1]));
  }
  it = world.start(new Random(seed));
  graph.begin();
  for (; steps < limit && !over; steps++) {
    const [, reward, terminated] = world.step(it, graph.ask({ obs: world.see(it) }).action[0]);
    total += reward;
    over = terminated;
  }
  return { return: total, steps, gaps };
})));
