// Environments in plain JavaScript, by Gymnasium's operations in Gymnasium's order, in float64.
//
// Each world: `limit` of steps (0: none), `fps`, `actions` (names, [] where they are numbers), `obs` (shape and type of an
// observation), `torque` (bounds of a continuous action), `start(random)` -> state, `step(state, action, push)` ->
// [state, reward, terminated], `see(state)` -> numbers of the observation. A state is a list of numbers. `push` is what the
// viewer does besides, from -1 to 1; with 0 the world is Gymnasium's.
const Worlds = (() => {
  "use strict";
  const clip = (x, low, high) => Math.min(Math.max(x, low), high);
  const several = (random, count, low, high) => Array.from({ length: count }, () => random.uniform(low, high));

  const cartPole = {
    limit: 500, fps: 50, actions: ["left", "right"], obs: { shape: [4], type: "float32" }, pushes: "the cart",
    start: (random) => several(random, 4, -0.05, 0.05),
    step([x, xDot, theta, thetaDot], action, push = 0) {
      const gravity = 9.8, masspole = 0.1, mass = 0.1 + 1.0, length = 0.5, moment = masspole * length, tau = 0.02;
      const force = (action === 1 ? 10 : -10) + 7 * push;
      const [sin, cos] = sinCos(theta);
      const temp = (force + moment * (thetaDot * thetaDot) * sin) / mass;
      const thetaAcc = (gravity * sin - cos * temp) / (length * (4 / 3 - (masspole * (cos * cos)) / mass));
      const xAcc = temp - (moment * thetaAcc * cos) / mass;
      const next = [x + tau * xDot, xDot + tau * xAcc, theta + tau * thetaDot, thetaDot + tau * thetaAcc];
      return [next, 1, Math.abs(next[0]) > 2.4 || Math.abs(next[2]) > (12 * 2 * Math.PI) / 360];
    },
    see: (state) => state,
  };

  const mountainCar = {
    limit: 200, fps: 30, actions: ["left", "coast", "right"], obs: { shape: [2], type: "float32" }, pushes: "the car",
    start: (random) => [random.uniform(-0.6, -0.4), 0],
    step([position, velocity], action, push = 0) {
      velocity = velocity + ((action - 1) * 0.001 + sinCos(3 * position)[1] * -0.0025);
      velocity = clip(velocity + 0.002 * push, -0.07, 0.07);
      position = clip(position + velocity, -1.2, 0.6);
      if (position === -1.2 && velocity < 0) velocity = 0;
      return [[position, velocity], -1, position >= 0.5 && velocity >= 0];
    },
    see: (state) => state,
  };

  const acrobot = {
    limit: 500, fps: 15, actions: ["torque −1", "torque 0", "torque +1"], obs: { shape: [6], type: "float32" },
    pushes: "the joint",
    start: (random) => several(random, 4, -0.1, 0.1).map(Math.fround),
    // All lengths, masses and moments are 1, centres of mass lie at 0.5; Sutton and Barto's form ("book").
    rates([theta1, theta2, speed1, speed2], torque) {
      const [sin2, cos2] = sinCos(theta2), g = 9.8;
      const d1 = 0.25 + (1 + 0.25 + cos2) + 1 + 1, d2 = 0.25 + 0.5 * cos2 + 1;
      const phi2 = 0.5 * g * sinCos(theta1 + theta2 - Math.PI / 2)[1];
      const swing = 1.5 * g * sinCos(theta1 - Math.PI / 2)[1];
      const phi1 = -0.5 * (speed2 * speed2) * sin2 - speed2 * speed1 * sin2 + swing + phi2;
      const push = torque + (d2 / d1) * phi1 - 0.5 * (speed1 * speed1) * sin2 - phi2;
      const rate2 = push / (0.25 + 1 - (d2 * d2) / d1);
      return [speed1, speed2, -(d2 * rate2 + phi1) / d1, rate2];
    },
    step(state, action, push = 0) {
      const torque = action - 1 + 2 * push, dt = 0.2;
      const along = (k, by) => state.map((x, i) => x + by * k[i]);
      const k1 = acrobot.rates(state, torque), k2 = acrobot.rates(along(k1, dt / 2), torque);
      const k3 = acrobot.rates(along(k2, dt / 2), torque), k4 = acrobot.rates(along(k3, dt), torque);
      const next = state.map((x, i) => x + (dt / 6) * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
      for (const i of [0, 1]) {
        while (next[i] > Math.PI) next[i] -= 2 * Math.PI;
        while (next[i] < -Math.PI) next[i] += 2 * Math.PI;
      }
      next[2] = clip(next[2], -4 * Math.PI, 4 * Math.PI);
      next[3] = clip(next[3], -9 * Math.PI, 9 * Math.PI);
      const terminated = -sinCos(next[0])[1] - sinCos(next[1] + next[0])[1] > 1;
      return [next, terminated ? 0 : -1, terminated];
    },
    see([theta1, theta2, speed1, speed2]) {
      const [sin1, cos1] = sinCos(theta1), [sin2, cos2] = sinCos(theta2);
      return [cos1, sin1, cos2, sin2, speed1, speed2];
    },
  };

  const pendulum = {
    limit: 200, fps: 30, actions: [], torque: [-2, 2], obs: { shape: [3], type: "float32" }, pushes: "the pendulum",
    start: (random) => [random.uniform(-Math.PI, Math.PI), random.uniform(-1, 1)],
    step([theta, speed], action, push = 0) {
      const float = Math.fround, torque = clip(float(action), -2, 2);
      const turned = (theta + Math.PI) % (2 * Math.PI), angle = (turned < 0 ? turned + 2 * Math.PI : turned) - Math.PI;
      const effort = float(float(0.001) * float(torque * torque));  // there as here in float32
      const costs = angle * angle + 0.1 * (speed * speed) + effort;
      speed = clip(speed + (15 * sinCos(theta)[0] + float(3 * torque) - 9 * push) * 0.05, -8, 8);
      return [[theta + speed * 0.05, speed], -costs, false];
    },
    see([theta, speed]) {
      const [sin, cos] = sinCos(theta);
      return [cos, sin, speed];
    },
  };

  const rows = 10, columns = 5;
  const grid = {
    limit: 0, fps: 6, actions: ["left", "stay", "right"], obs: { shape: [rows, columns, 1], type: "uint8" },
    pushes: "the ball", pulse: true,  // a push is one cell, and not a force that lasts
    start: (random) => [0, random.below(columns), Math.floor(columns / 2)],
    step([row, column, paddle], action, push = 0) {
      row += 1;
      column = clip(column + Math.sign(push), 0, columns - 1);
      paddle = clip(paddle + action - 1, 0, columns - 1);
      const terminated = row === rows - 1;
      return [[row, column, paddle], terminated ? (paddle === column ? 1 : -1) : 0, terminated];
    },
    see([row, column, paddle]) {
      const board = new Array(rows * columns).fill(0);
      board[row * columns + column] = 255;
      board[(rows - 1) * columns + paddle] = 255;
      return board;
    },
  };

  return {
    "CartPole-v1": cartPole, "MountainCar-v0": mountainCar, "Acrobot-v1": acrobot, "Pendulum-v1": pendulum,
    "rlbench/Catch-v0": grid,
  };
})();
