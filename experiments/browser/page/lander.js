// LunarLander in JavaScript: Gymnasium's world rebuilt on Planck, a port of Box2D. Its random numbers are Gymnasium's to the
// bit, so an episode has the same moon and the same first push; but Box2D computes in float32 and Planck in float64, so that
// episodes part from Gymnasium's: how far, `python -m rlbench.experiments.browser lander` measures.
(() => {
  "use strict";
  const { World, Edge, Polygon, RevoluteJoint, Vec2 } = planck;
  const SCALE = 30, FPS = 50, WIDE = 600 / SCALE, HIGH = 400 / SCALE, CHUNKS = 11;
  const HULL = [[-14, 17], [-17, 0], [-17, -10], [17, -10], [17, 0], [14, 17]];
  const MAIN = 13, SIDE = 0.6, LEG_AWAY = 20, LEG_DOWN = 18, LEG = [2, 8];

  function landed(random) {
    const world = new World({ gravity: Vec2(0, -10) });
    const heights = Array.from({ length: CHUNKS + 1 }, () => random.uniform(0, HIGH / 2));
    const xs = Array.from({ length: CHUNKS }, (_, i) => (WIDE / (CHUNKS - 1)) * i), pad = HIGH / 4;
    for (let i = 3; i <= 7; i++) heights[i] = pad;
    const around = (i) => heights[(i + CHUNKS + 1) % (CHUNKS + 1)];
    const ground = xs.map((x, i) => [x, 0.33 * (around(i - 1) + around(i) + around(i + 1))]);
    const moon = world.createBody();
    moon.createFixture({ shape: new Edge(Vec2(0, 0), Vec2(WIDE, 0)), friction: 0.2 });
    for (let i = 0; i + 1 < CHUNKS; i++) {
      moon.createFixture({ shape: new Edge(Vec2(...ground[i]), Vec2(...ground[i + 1])), friction: 0.1 });
    }
    const lander = world.createDynamicBody({ position: Vec2(WIDE / 2, HIGH), angle: 0 });
    lander.createFixture({
      shape: new Polygon(HULL.map(([x, y]) => Vec2(x / SCALE, y / SCALE))), density: 5, friction: 0.1, restitution: 0,
      filterCategoryBits: 0x10, filterMaskBits: 0x1,
    });
    const push = [random.uniform(-1000, 1000), random.uniform(-1000, 1000)];
    lander.applyForceToCenter(Vec2(...push), true);
    const legs = [-1, 1].map((side) => {
      const leg = world.createDynamicBody({ position: Vec2(WIDE / 2 - (side * LEG_AWAY) / SCALE, HIGH), angle: side * 0.05 });
      leg.createFixture({
        shape: new Polygon([[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x, y]) => Vec2((x * LEG[0]) / SCALE, (y * LEG[1]) / SCALE))),
        density: 1, friction: 0.2, restitution: 0, filterCategoryBits: 0x20, filterMaskBits: 0x1,
      });
      world.createJoint(new RevoluteJoint({
        bodyA: lander, bodyB: leg, localAnchorA: Vec2(0, 0), localAnchorB: Vec2((side * LEG_AWAY) / SCALE, LEG_DOWN / SCALE),
        referenceAngle: 0, enableMotor: true, enableLimit: true, maxMotorTorque: 40, motorSpeed: 0.3 * side,
        lowerAngle: side < 0 ? 0.9 - 0.5 : -0.9, upperAngle: side < 0 ? 0.9 : -0.9 + 0.5,
      }));
      return leg;
    });
    const it = { world, lander, legs, ground, pad, random, shaping: null, crashed: false, touching: [0, 0], flames: [], power: [0, 0, 0] };
    world.on("begin-contact", (contact) => {
      const bodies = [contact.getFixtureA().getBody(), contact.getFixtureB().getBody()];
      if (bodies.includes(lander)) it.crashed = true;
      legs.forEach((leg, i) => { if (bodies.includes(leg)) it.touching[i] = 1; });
    });
    world.on("end-contact", (contact) => {
      const bodies = [contact.getFixtureA().getBody(), contact.getFixtureB().getBody()];
      legs.forEach((leg, i) => { if (bodies.includes(leg)) it.touching[i] = 0; });
    });
    moved(it, 0, 0);  // as env.reset does
    return it;
  }

  function moved(it, action, push) {
    const { world, lander, random } = it, angle = lander.getAngle();
    const [sin, cos] = sinCos(angle), tip = [sin, cos], side = [-cos, sin];
    const spread = [random.uniform(-1, 1) / SCALE, random.uniform(-1, 1) / SCALE];
    const at = lander.getPosition(), kick = (ox, oy, place, power) => {
      lander.applyLinearImpulse(Vec2(-ox * power, -oy * power), Vec2(...place), true);
      it.flames.push({ x: place[0], y: place[1], vx: ox * power * 2.2, vy: oy * power * 2.2, age: 0, main: power === MAIN });
    };
    it.power = [action === 2 ? 1 : 0, action === 1 || action === 3 ? 1 : 0, action];
    if (action === 2) {
      const ox = tip[0] * (4 / SCALE + 2 * spread[0]) + side[0] * spread[1];
      const oy = -tip[1] * (4 / SCALE + 2 * spread[0]) - side[1] * spread[1];
      kick(ox, oy, [at.x + ox, at.y + oy], MAIN);
    } else if (action === 1 || action === 3) {
      const away = 3 * spread[1] + ((action - 2) * 12) / SCALE;
      const ox = tip[0] * spread[0] + side[0] * away, oy = -tip[1] * spread[0] - side[1] * away;
      kick(ox, oy, [at.x + ox - (tip[0] * 17) / SCALE, at.y + oy + (tip[1] * 14) / SCALE], SIDE);
    }
    if (push) lander.applyForceToCenter(Vec2(60 * push, 0), true);  // the viewer's wind
    world.step(1 / FPS, 6 * 30, 2 * 30);
    for (const one of it.flames) { one.x += one.vx / FPS; one.y += one.vy / FPS; one.age += 1; }
    it.flames = it.flames.filter((one) => one.age < (one.main ? 26 : 12));
  }

  function seen(it) {
    const at = it.lander.getPosition(), speed = it.lander.getLinearVelocity();
    return [
      (at.x - WIDE / 2) / (WIDE / 2), (at.y - (it.pad + LEG_DOWN / SCALE)) / (HIGH / 2), (speed.x * (WIDE / 2)) / FPS,
      (speed.y * (HIGH / 2)) / FPS, it.lander.getAngle(), (20 * it.lander.getAngularVelocity()) / FPS, ...it.touching,
    ];
  }

  function shaped([x, y, vx, vy, angle, , left, right]) {
    return -100 * Math.sqrt(x * x + y * y) - 100 * Math.sqrt(vx * vx + vy * vy) - 100 * Math.abs(angle) + 10 * left + 10 * right;
  }

  const lander = {
    limit: 1000, fps: FPS, actions: ["nothing", "left engine", "main engine", "right engine"], obs: { shape: [8], type: "float32" },
    pushes: "the lander (wind)",
    start(random) {
      const it = landed(random);
      it.shaping = shaped(seen(it));
      return it;
    },
    step(it, action, push = 0) {
      moved(it, action, push);
      const now = seen(it), shaping = shaped(now);
      let reward = shaping - it.shaping - it.power[0] * 0.3 - it.power[1] * 0.03, terminated = false;
      it.shaping = shaping;
      if (it.crashed || Math.abs(now[0]) >= 1) { terminated = true; reward = -100; }
      if (!it.lander.isAwake()) { terminated = true; reward = 100; }
      return [it, reward, terminated];
    },
    see: seen,
  };

  const polygon = (body) => body.getFixtureList().getShape().m_vertices.map((v) => body.getWorldPoint(v));

  const scene = {
    size: [600, 400],
    draw(pen, it, { colors, push }) {
      const { stroke, disc, path } = Scenes, right = (x) => x * SCALE, down = (y) => 400 - y * SCALE;
      const sky = pen.createLinearGradient(0, 0, 0, 400);
      sky.addColorStop(0, "#070b18");
      sky.addColorStop(1, "#22304f");
      pen.fillStyle = sky;
      pen.fillRect(0, 0, 600, 400);
      for (let i = 0; i < 70; i++) {
        pen.globalAlpha = 0.25 + 0.6 * ((i * 0.618) % 1);
        disc(pen, [(i * 137.5) % 600, (i * 71.3) % 300], 0.5 + ((i * 0.37) % 1), "#ffffff");
      }
      pen.globalAlpha = 1;
      const ground = it.ground.map(([x, y]) => [right(x), down(y)]);
      path(pen, [...ground, [600, 400], [0, 400]], true);
      const soil = pen.createLinearGradient(0, 200, 0, 400);
      soil.addColorStop(0, "#a9adb8");
      soil.addColorStop(1, "#5b606d");
      pen.fillStyle = soil;
      pen.fill();
      stroke(pen, ground, "#dfe3ec", 2);
      stroke(pen, [ground[4], ground[6]], "#ffd34d", 4);
      for (const [x, y] of [ground[4], ground[6]]) {
        stroke(pen, [[x, y], [x, y - 44]], "#eef1f6", 2);
        path(pen, [[x, y - 44], [x + 22, y - 38], [x, y - 31]], true);
        pen.fillStyle = "#ffd34d";
        pen.fill();
      }
      for (const one of it.flames) {
        const young = 1 - one.age / (one.main ? 26 : 12);
        pen.globalAlpha = Math.max(0, young) * 0.85;
        disc(pen, [right(one.x), down(one.y)], (one.main ? 7 : 3.5) * (0.45 + 0.55 * young), young > 0.55 ? "#ffe08a" : "#ff7a3d");
      }
      pen.globalAlpha = 1;
      it.legs.forEach((leg, i) => {
        path(pen, polygon(leg).map(({ x, y }) => [right(x), down(y)]), true);
        pen.fillStyle = it.touching[i] ? "#45d3a2" : "#8fa3c7";
        pen.fill();
      });
      path(pen, polygon(it.lander).map(({ x, y }) => [right(x), down(y)]), true);
      pen.fillStyle = "#8a78f0";
      pen.fill();
      stroke(pen, [...polygon(it.lander), polygon(it.lander)[0]].map(({ x, y }) => [right(x), down(y)]), "#cfc6ff", 1.6);
      const { x, y } = it.lander.getWorldPoint(Vec2(0, 7 / SCALE));
      disc(pen, [right(x), down(y)], 5, "#dff3ff");
      const middle = it.lander.getPosition();
      Scenes.arrow(pen, [right(middle.x) - push * 110, down(middle.y)], push * 75, colors.push, 6);
    },
  };

  Worlds["LunarLander-v3"] = lander;
  Scenes["LunarLander-v3"] = scene;
})();
