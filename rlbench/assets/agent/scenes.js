// What the worlds look like. A scene has `size` [width, height] in its own units and draws a state into them:
// draw(pen, state, look), where look is {colors, action, push, trail}; trail holds the states before, the newest last.
const Scenes = (() => {
  "use strict";

  function path(pen, points, close = false) {
    pen.beginPath();
    points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (close) pen.closePath();
  }

  function stroke(pen, points, color, width) {
    path(pen, points);
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.lineCap = pen.lineJoin = "round";
    pen.stroke();
  }

  function disc(pen, [x, y], radius, color) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fillStyle = color;
    pen.fill();
  }

  function box(pen, x, y, width, height, radius, color) {
    pen.beginPath();
    pen.roundRect(x, y, width, height, radius);
    pen.fillStyle = color;
    pen.fill();
  }

  function arrow(pen, [x, y], length, color, width = 4) {
    if (!length) return;
    const end = x + length, head = Math.sign(length) * 8;
    stroke(pen, [[x, y], [end, y]], color, width);
    stroke(pen, [[end - head, y - 7], [end, y], [end - head, y + 7]], color, width);
  }

  // A line that fades towards its beginning.
  function tail(pen, points, color, width) {
    pen.save();
    for (let i = 1; i < points.length; i++) {
      pen.globalAlpha = 0.5 * (i / points.length) ** 1.5;
      stroke(pen, [points[i - 1], points[i]], color, width * (0.3 + (0.7 * i) / points.length));
    }
    pen.restore();
  }

  function backdrop(pen, [width, height], colors) {
    const sky = pen.createLinearGradient(0, 0, 0, height);
    sky.addColorStop(0, colors.sky);
    sky.addColorStop(1, colors.haze);
    pen.fillStyle = sky;
    pen.fillRect(0, 0, width, height);
  }

  const cartPole = {
    size: [600, 400],
    draw(pen, state, { colors, action, push, trail }) {
      const scale = 116, floor = 286, length = 164, hinge = floor - 44, at = ([x]) => 300 + x * scale;
      const tip = (some) => [at(some) + length * Math.sin(some[2]), hinge - length * Math.cos(some[2])];
      backdrop(pen, cartPole.size, colors);
      pen.fillStyle = colors.ground;
      pen.fillRect(0, floor + 10, 600, 120);
      for (const side of [-1, 1]) {
        const edge = 300 + side * 2.4 * scale;
        pen.fillStyle = colors.danger;
        pen.fillRect(side < 0 ? 0 : edge, 0, 300 - 2.4 * scale, floor + 10);
        stroke(pen, [[edge, 40], [edge, floor + 10]], colors.faint, 1.5);
      }
      stroke(pen, [[0, floor + 10], [600, floor + 10]], colors.line, 3);
      for (let mark = -2; mark <= 2; mark += 0.5) {
        stroke(pen, [[300 + mark * scale, floor + 10], [300 + mark * scale, floor + (mark % 1 ? 16 : 21)]], colors.line, 2);
      }
      const x = at(state), lean = (12 * Math.PI) / 180;
      pen.beginPath();
      pen.moveTo(x, hinge);
      pen.arc(x, hinge, length + 14, -Math.PI / 2 - lean, -Math.PI / 2 + lean);
      pen.closePath();
      pen.fillStyle = colors.hint;
      pen.fill();
      tail(pen, trail.slice(-60).map(tip), colors.accent, 5);
      box(pen, x - 44, hinge + 2, 88, 36, 9, colors.body);
      box(pen, x - 44, hinge + 2, 88, 13, [9, 9, 0, 0], colors.shine);
      for (const wheel of [-26, 26]) {
        disc(pen, [x + wheel, floor], 10, colors.line);
        disc(pen, [x + wheel, floor], 4, colors.shine);
        const turn = (state[0] * scale) / 10;
        stroke(pen, [[x + wheel, floor], [x + wheel + 8 * Math.cos(turn), floor + 8 * Math.sin(turn)]], colors.shine, 2);
      }
      stroke(pen, [[x, hinge], tip(state)], colors.rod, 11);
      stroke(pen, [[x, hinge], tip(state)], colors.glint, 3);
      disc(pen, tip(state), 9, colors.accent);
      disc(pen, [x, hinge], 6, colors.line);
      if (action !== null) arrow(pen, [x + (action ? 52 : -52), hinge + 20], action ? 30 : -30, colors.actions[action]);
      arrow(pen, [x - push * 160, hinge - 16], push * 120, colors.push, 7);
    },
  };

  const mountainCar = {
    size: [600, 340],
    draw(pen, [position], { colors, action, push, trail }) {
      const scale = 600 / 1.8, right = (x) => (x + 1.2) * scale;
      const up = (x) => 310 - (0.45 * Math.sin(3 * x) + 0.55) * scale * 0.72;
      backdrop(pen, mountainCar.size, colors);
      const hill = Array.from({ length: 121 }, (_, i) => -1.2 + (1.8 * i) / 120).map((x) => [right(x), up(x)]);
      path(pen, [...hill, [600, 340], [0, 340]], true);
      pen.fillStyle = colors.ground;
      pen.fill();
      stroke(pen, hill, colors.line, 3);
      const goal = [right(0.5), up(0.5)];
      stroke(pen, [goal, [goal[0], goal[1] - 62]], colors.line, 3);
      path(pen, [[goal[0], goal[1] - 62], [goal[0] + 32, goal[1] - 50], [goal[0], goal[1] - 38]], true);
      pen.fillStyle = colors.good;
      pen.fill();
      tail(pen, trail.slice(-50).map(([x]) => [right(x), up(x) - 22]), colors.accent, 6);
      pen.save();
      pen.translate(right(position), up(position));
      pen.rotate(-Math.atan(0.45 * 3 * Math.cos(3 * position) * 0.72));
      box(pen, -26, -26, 52, 16, 6, colors.body);
      box(pen, -14, -38, 28, 15, 6, colors.shine);
      for (const wheel of [-15, 15]) { disc(pen, [wheel, -9], 9, colors.line); disc(pen, [wheel, -9], 4, colors.shine); }
      if (action !== null) arrow(pen, [(action - 1) * 32, -18], (action - 1) * 26, colors.actions[action]);
      arrow(pen, [push * -96, -18], push * 60, colors.push, 7);
      pen.restore();
    },
  };

  // A torque: an arc with a head, about a point; positive is counter-clockwise where `sign` is 1.
  function twist(pen, [x, y], radius, torque, color, width) {
    if (Math.abs(torque) < 0.06) return;
    const from = -Math.PI / 2, to = from - torque * 2.2, back = Math.sign(torque) * 0.28;
    pen.beginPath();
    pen.arc(x, y, radius, from, to, torque > 0);
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.stroke();
    const on = (angle, far) => [x + far * Math.cos(angle), y + far * Math.sin(angle)];
    stroke(pen, [on(to + back, radius - 8), on(to, radius), on(to + back, radius + 8)], color, width);
  }

  const pendulum = {
    size: [600, 400],
    draw(pen, state, { colors, action, push, trail }) {
      const middle = [300, 205], length = 150;
      const tip = ([theta]) => [300 - length * Math.sin(theta), 205 - length * Math.cos(theta)];
      backdrop(pen, pendulum.size, colors);
      pen.beginPath();
      pen.arc(...middle, length, 0, 2 * Math.PI);
      pen.strokeStyle = colors.faint;
      pen.lineWidth = 1.5;
      pen.stroke();
      disc(pen, [300, 205 - length], 22, colors.hint);
      tail(pen, trail.slice(-40).map(tip), colors.accent, 8);
      stroke(pen, [middle, tip(state)], colors.rod, 20);
      stroke(pen, [middle, tip(state)], colors.glint, 5);
      disc(pen, tip(state), 17, colors.accent);
      disc(pen, middle, 9, colors.line);
      if (action !== null) twist(pen, middle, 48, Math.max(-2, Math.min(2, action)) / 2, colors.actions[0], 5);
      twist(pen, middle, 72, -push, colors.push, 7);
    },
  };

  const acrobot = {
    size: [600, 400],
    draw(pen, state, { colors, action, push, trail }) {
      const scale = 82, middle = [300, 205];
      const elbow = ([theta]) => [300 + scale * Math.sin(theta), 205 + scale * Math.cos(theta)];
      const hand = (some) => {
        const [x, y] = elbow(some), angle = some[0] + some[1];
        return [x + scale * Math.sin(angle), y + scale * Math.cos(angle)];
      };
      backdrop(pen, acrobot.size, colors);
      pen.fillStyle = colors.hint;
      pen.fillRect(0, 0, 600, 205 - scale);
      stroke(pen, [[0, 205 - scale], [600, 205 - scale]], colors.good, 2.5);
      tail(pen, trail.slice(-40).map(hand), colors.accent, 7);
      stroke(pen, [middle, elbow(state)], colors.rod, 16);
      stroke(pen, [elbow(state), hand(state)], colors.body, 14);
      disc(pen, middle, 9, colors.line);
      disc(pen, elbow(state), 10, colors.shine);
      disc(pen, hand(state), 11, colors.accent);
      if (action !== null) twist(pen, elbow(state), 30, action - 1, colors.actions[action], 4);
      twist(pen, elbow(state), 46, push, colors.push, 6);
    },
  };

  const grid = {
    size: [600, 440],
    draw(pen, [row, column, paddle], { colors, action, trail }) {
      const cell = 41, left = 300 - 2.5 * cell, top = 15;
      const centre = (r, c) => [left + (c + 0.5) * cell, top + (r + 0.5) * cell];
      backdrop(pen, grid.size, colors);
      for (let r = 0; r < 10; r++) for (let c = 0; c < 5; c++) {
        box(pen, left + c * cell + 2, top + r * cell + 2, cell - 4, cell - 4, 7, colors.cell);
      }
      tail(pen, trail.slice(-10).map(([r, c]) => centre(r, c)), colors.accent, 16);
      const [x, y] = centre(9, paddle);
      box(pen, x - 19, y + 8, 38, 9, 4.5, colors.body);
      disc(pen, centre(row, column), 12, colors.accent);
      if (action !== null && action !== 1) arrow(pen, [x + (action - 1) * 24, y + 12], (action - 1) * 16, colors.actions[action], 3);
    },
  };

  return {
    "CartPole-v1": cartPole, "MountainCar-v0": mountainCar, "Acrobot-v1": acrobot, "Pendulum-v1": pendulum,
    "rlbench/Catch-v0": grid, path, stroke, disc, box, arrow, tail, backdrop,
  };
})();
