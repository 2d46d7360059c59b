// An agent that plays a world: the canvas, what it thinks, and what the viewer may do. Text goes in as text, never as HTML.
const Show = (() => {
  "use strict";
  const SPEEDS = [0.25, 0.5, 1, 2, 4, Infinity];
  const ICONS = { play: "M7 4v16l13-8z", pause: "M6 4h4v16H6zM14 4h4v16h-4z", on: "M5 5v14l10-7zM17 5h3v14h-3z",
    again: "M12 5V1L6 6l6 5V7a5 5 0 1 1-5 5H5a7 7 0 1 0 7-7z" };
  const TITLES = { q_values: "Q-values", probabilities: "Probabilities" };
  const KEPT = 240, NEAR = 30;  // steps that the timeline goes back, and the scale of the bars

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
    svg.firstChild.setAttribute("d", ICONS[name]);
    return svg;
  }

  function button(name, label, act, className = "") {
    const node = make("button", className);
    node.type = "button";
    node.append(icon(name), make("span", "", label));
    node.addEventListener("click", act);
    return node;
  }

  function number(x) {
    if (!Number.isFinite(x)) return "–";
    const y = Math.abs(x) < 1e4 ? Number(x.toPrecision(4)) : Math.round(x);
    return y !== 0 && Math.abs(y) < 1e-3 ? y.toExponential(1) : String(y + 0);
  }

  return class Show {
    // root: an empty element. play(...) begins.
    constructor(root) {
      this.root = root;
      root.classList.add("rlb-agent");
      this.speed = 1;
      this.push = 0;
      this.playing = this.busy = false;
      this.build();
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.colors = null; this.draw(); });
      new ResizeObserver(() => this.draw()).observe(this.canvas);
      document.addEventListener("keydown", (event) => this.key(event, true));
      document.addEventListener("keyup", (event) => this.key(event, false));
      addEventListener("blur", () => this.shove(0));
      root.show = this;
    }

    build() {
      this.stage = make("figure", "stage");
      this.canvas = make("canvas");
      this.canvas.setAttribute("role", "img");
      this.canvas.addEventListener("click", () => this.toggle());
      this.badge = make("div", "badge");
      this.badge.setAttribute("role", "status");
      this.pushes = [["left", -1, "◀ push"], ["right", 1, "push ▶"]].map(([side, way, label]) => {
        const node = make("button", `push ${side}`, label);
        node.type = "button";
        node.addEventListener("pointerdown", (event) => { node.setPointerCapture(event.pointerId); this.shove(way); });
        for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) node.addEventListener(end, () => this.shove(0));
        node.addEventListener("contextmenu", (event) => event.preventDefault());
        return [way, node];
      });
      this.stage.append(this.canvas, this.badge, ...this.pushes.map(([, node]) => node));

      const now = make("div", "now"), facts = make("dl", "facts");
      this.fact = {};
      for (const [key, title] of [["return", "Return"], ["step", "Step"], ["seed", "Episode"]]) {
        const part = make("div");
        this.fact[key] = make("dd", "", "–");
        part.append(make("dt", "", title), this.fact[key]);
        facts.append(part);
      }
      this.bars = make("div", "bars");
      this.caption = make("p", "caption");
      this.line = make("canvas", "plot");
      this.line.setAttribute("aria-hidden", "true");
      this.past = make("canvas", "plot");
      this.past.setAttribute("role", "img");
      this.pastCaption = make("p", "caption");
      now.append(facts, this.bars, this.caption, this.line, this.past, this.pastCaption);
      this.playButton = button("play", "Play", () => this.toggle(), "play");
      const speeds = make("div", "speeds");
      speeds.setAttribute("role", "group");
      speeds.setAttribute("aria-label", "Speed");
      this.speeds = SPEEDS.map((speed) => {
        const node = make("button", "", speed === Infinity ? "max" : `${speed}×`);
        node.type = "button";
        node.addEventListener("click", () => this.pace(speed));
        speeds.append(node);
        return [speed, node];
      });
      const panel = make("div", "panel");
      panel.append(this.playButton, button("on", "Step", () => { this.pause(); this.once(); }),
        button("again", "New episode", () => this.begin(this.seed + 1)), speeds);
      this.help = make("p", "help");
      const top = make("div", "top");
      top.append(this.stage, panel, now); // on a phone one above the other, so that Play stands below the picture
      this.root.append(top, this.help);
      this.pace(1);
    }

    // Begin with a policy in a world.
    //   env: its name. world, scene: as worlds.js and scenes.js have them.
    //   policy: {begin(), ask({obs}) -> outputs by name, at once or as a promise}.
    async play({ env, world, scene, policy, seed = 0 }) {
      this.pause();
      while (this.busy) await new Promise((done) => setTimeout(done, 5));
      Object.assign(this, { env, world, scene, policy, returns: [] });
      this.canvas.style.aspectRatio = scene.size.join("/");
      for (const [, node] of this.pushes) node.hidden = !world.pushes;
      const keys = world.pushes ? [make("kbd", "", "←"), " ", make("kbd", "", "→"), ` push ${world.pushes}. `] : [];
      this.help.replaceChildren(...keys, make("kbd", "", "Space"), " plays and pauses, ", make("kbd", "", "."), " takes a step, ",
        make("kbd", "", "R"), " begins a new episode.");
      await this.begin(seed);
    }

    // An episode begins, as env.reset(seed=seed) lets it.
    async begin(seed) {
      this.seed = seed;
      const random = new Random(seed);
      this.state = this.world.start(random);
      this.policy.begin();
      Object.assign(this, { step: 0, total: 0, over: "", pushed: false, trail: [], thoughts: [], action: null, rest: 0 });
      const generation = (this.generation = {});
      const answer = await this.policy.ask({ obs: this.world.see(this.state) });
      if (generation !== this.generation) return;
      this.answer = answer;
      this.remember();
      this.render();
    }

    // One step: what the policy said is done, and it is asked again.
    async once() {
      if (this.busy || !this.answer) return;
      if (this.over) { await this.begin(this.seed + 1); return; }
      this.busy = true;
      try {
        const { world, generation } = this, action = this.answer.action[0], push = this.push;
        if (world.pulse) this.push = 0;
        const [state, reward, terminated] = world.step(this.state, action, push);
        this.trail.push(this.state);
        if (this.trail.length > KEPT) this.trail.shift();
        const step = this.step + 1, over = terminated ? "over" : step === world.limit ? "time is up" : "";
        const answer = over ? this.answer : await this.policy.ask({ obs: world.see(state) });
        if (generation !== this.generation) return;  // another episode has begun meanwhile
        Object.assign(this, { state, step, over, answer, action, total: this.total + reward, pushed: this.pushed || push !== 0 });
        if (over) this.returns.push([this.total, this.pushed]);
        else this.remember();
      } finally { this.busy = false; }
    }

    // A whole episode without drawing: {return, steps, actions, seen}.
    async episode(seed) {
      this.pause();
      while (this.busy) await new Promise((done) => setTimeout(done, 5));
      await this.begin(seed);
      const actions = [], seen = [];
      while (!this.over) {
        seen.push(this.world.see(this.state));
        actions.push(this.answer.action[0]);
        await this.once();
      }
      this.render();
      return { return: this.total, steps: this.step, actions, seen };
    }

    start() {
      if (this.playing) return;
      this.playing = true;
      this.sign("pause", "Pause");
      let before = null, due = 0;
      const frame = async (time) => {
        if (!this.playing) return;
        const passed = before === null ? 0 : Math.min(0.25, (time - before) / 1000);
        before = time;
        if (this.over && this.speed <= 4 && (this.rest += passed) < 1.4) { requestAnimationFrame(frame); return; }
        if (this.speed === Infinity) {
          const until = performance.now() + 12;
          do await this.once(); while (performance.now() < until && this.playing);
        } else {
          for (due += passed * this.world.fps * this.speed; due >= 1 && this.playing; due--) {
            await this.once();
            if (this.over) { due = 0; break; }
          }
        }
        this.render();
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    }

    pause() { this.playing = false; this.sign("play", "Play"); }
    toggle() { if (this.playing) this.pause(); else this.start(); }

    sign(name, label) {
      this.playButton.querySelector("path").setAttribute("d", ICONS[name]);
      this.playButton.lastChild.textContent = label;
    }

    pace(speed) {
      this.speed = speed;
      for (const [of, node] of this.speeds) node.setAttribute("aria-pressed", String(of === speed));
    }

    shove(way) {
      if (!this.world || !this.world.pushes) return;
      if (way || !this.world.pulse) this.push = way;
      for (const [of, node] of this.pushes) node.classList.toggle("on", of === way);
      if (way && !this.playing) this.start();
    }

    key(event, down) {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.world) return;
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (way && this.world.pushes && !/^(INPUT|SELECT)$/.test(event.target.tagName)) {
        event.preventDefault();
        if (!event.repeat) this.shove(down ? way : 0);
      } else if (down && event.target.tagName !== "BUTTON" && event.target.tagName !== "SELECT") {
        const act = { " ": () => this.toggle(), ".": () => { this.pause(); this.once().then(() => this.render()); },
          r: () => this.begin(this.seed + 1), R: () => this.begin(this.seed + 1) }[event.key];
        if (act) { event.preventDefault(); act(); }
      }
    }

    render() {
      const limit = this.world.limit ? ` / ${this.world.limit}` : "";
      this.fact.return.textContent = number(this.total);
      this.fact.step.replaceChildren(String(this.step), make("small", "", limit));
      this.fact.seed.replaceChildren(String(this.returns.length + (this.over ? 0 : 1)), make("small", "", ` seed ${this.seed}`));
      this.badge.hidden = !this.over && !this.pushed;
      this.badge.textContent = this.over
        ? `${this.over === "over" ? "Episode over" : "Time is up"}: return ${number(this.total)}${this.pushed ? ", pushed" : ""}`
        : "You pushed it";
      this.think();
      this.draw();
    }

    // What the policy shows of itself: Q-values or probabilities, else what it would do.
    thought() {
      const kind = Object.keys(TITLES).find((name) => this.answer[name]);
      return [kind, kind ? this.answer[kind] : this.answer.mean || this.answer.action];
    }

    remember() {
      this.thoughts.push({ step: this.step, numbers: this.thought()[1] });
      if (this.thoughts.length > KEPT) this.thoughts.shift();
    }

    think() {
      const answer = this.answer, [kind, numbers] = this.thought();
      const fixed = kind === "probabilities" ? [0, 1] : kind ? null : this.world.torque;
      const span = (thoughts) => {
        const all = thoughts.flatMap((one) => one.numbers);
        return fixed || [Math.min(...all), Math.max(...all)];
      };
      const [low, high] = span(this.thoughts.slice(-NEAR));
      this.scale = span(this.thoughts);
      const names = this.world.actions, taken = kind ? answer.action[0] : 0;
      if (this.bars.children.length !== 3 * numbers.length) {
        this.bars.replaceChildren(...numbers.flatMap((_, i) => {
          const parts = [make("span", "name"), make("span", "track"), make("span", "number")];
          parts[1].append(make("i"));
          for (const part of parts) part.style.setProperty("--c", `var(--c${i % 6})`);
          return parts;
        }));
      }
      numbers.forEach((x, i) => {
        const [name, track, text] = [0, 1, 2].map((k) => this.bars.children[3 * i + k]);
        name.textContent = kind ? names[i] || `action ${i}` : names[i] || "action";
        name.classList.toggle("taken", i === taken);
        const share = high > low ? Math.min(1, Math.max(0, (x - low) / (high - low))) : 1;
        const zero = kind || low >= 0 ? 0 : Math.min(1, -low / (high - low));
        track.firstChild.style.left = `${100 * Math.min(zero, share)}%`;
        track.firstChild.style.width = `${Math.max(2, 100 * Math.abs(share - zero))}%`;
        text.textContent = number(x);
      });
      const value = answer.value ? `; value ${number(answer.value[0])}` : "";
      const spread = answer.std ? ` ± ${number(answer.std[0])}` : "";
      const range = kind === "q_values" ? ` Bars run from ${number(low)} to ${number(high)}.` : "";
      this.caption.textContent = kind
        ? `${TITLES[kind]} here${value}; the filled dot is the action taken.${range}`
        : `What it does here${spread}${value}, from ${number(low)} to ${number(high)}.`;
    }

    draw() {
      if (!this.scene || !this.answer) return;
      this.colors ||= this.palette();
      const [width, height] = this.scene.size, ratio = devicePixelRatio || 1;
      const wide = Math.round(this.canvas.clientWidth * ratio);
      if (!wide) return;
      const tall = Math.round((wide * height) / width);
      if (this.canvas.width !== wide || this.canvas.height !== tall) Object.assign(this.canvas, { width: wide, height: tall });
      const pen = this.canvas.getContext("2d");
      pen.setTransform(wide / width, 0, 0, wide / width, 0, 0);
      this.scene.draw(pen, this.state, { colors: this.colors, action: this.action, push: this.push, trail: this.trail });
      this.canvas.setAttribute("aria-label", `${this.env}, step ${this.step}, return ${number(this.total)}`);
      this.drawLine();
      this.drawPast();
    }

    palette() {
      const style = getComputedStyle(this.root), named = {};
      for (const name of ["ink", "soft", "back", "accent", "good", "bad", "push", "sky", "haze", "ground", "faint", "hint",
        "danger", "body", "shine", "rod", "glint", "cell"]) named[name] = style.getPropertyValue(`--${name}`).trim();
      named.line = style.getPropertyValue("--rail").trim();
      named.actions = Array.from({ length: 6 }, (_, i) => style.getPropertyValue(`--c${i}`).trim());
      return named;
    }

    sheet(canvas) {
      const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
      Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      pen.font = "11px system-ui, sans-serif";
      pen.fillStyle = this.colors.soft;
      return [pen, width, height];
    }

    // What it thought in the last steps.
    drawLine() {
      const [pen, width, height] = this.sheet(this.line), [low, high] = this.scale, rows = this.thoughts;
      const y = (x) => (high > low ? height - 8 - ((height - 26) * (x - low)) / (high - low) : height / 2);
      const from = rows[0].step, span = Math.max(60, rows.at(-1).step - from);
      pen.fillText(`last ${Math.min(this.step, KEPT)} steps`, 8, 13);
      for (let i = rows[0].numbers.length - 1; i >= 0; i--) {
        Scenes.stroke(pen, rows.map((one) => [4 + ((width - 8) * (one.step - from)) / span, y(one.numbers[i])]),
          this.colors.actions[i % 6], 1.6);
      }
    }

    // The returns of the episodes before.
    drawPast() {
      const [pen, width, height] = this.sheet(this.past), all = this.returns.slice(-40), returns = all.map(([x]) => x);
      const low = Math.min(0, ...returns), high = Math.max(0, ...returns), span = high - low || 1;
      const y = (x) => height - 6 - ((height - 26) * (x - low)) / span, each = Math.min(22, (width - 16) / Math.max(all.length, 1));
      const own = returns.filter((_, i) => !all[i][1]);
      const mean = own.length ? `, mean ${number(own.reduce((a, b) => a + b, 0) / own.length)}` : "";
      pen.fillText(all.length ? `return of ${all.length === 1 ? "the last episode" : `the last ${all.length} episodes`}${mean}` : "returns of episodes come here", 8, 13);
      all.forEach(([x, pushed], i) => {
        const top = Math.min(y(x), y(0)), tall = Math.max(2, Math.abs(y(x) - y(0)));
        Scenes.box(pen, 8 + i * each + 1, top, Math.max(1, each - 3), tall, 3, pushed ? this.colors.push : this.colors.accent);
      });
      const some = all.some(([, pushed]) => pushed);
      this.pastCaption.textContent = some ? "Where you pushed, the episode is no longer the environment's own: another colour, and not in the mean." : "";
      this.past.setAttribute("aria-label", `returns of past episodes: ${returns.map(number).join(", ") || "none yet"}`);
    }
  };
})();
