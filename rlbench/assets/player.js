// The episode player. Reads the JSON inside each .rlb-player and builds the rest; text goes in as text, never as HTML.
(() => {
  "use strict";
  const SPEEDS = [0.25, 0.5, 1, 2, 4];
  const HUES = 8;
  const ICONS = {
    play: "M7 4v16l13-8z", pause: "M6 4h4v16H6zM14 4h4v16h-4z", back: "M17 5v14L7 12z", on: "M7 5v14l10-7z",
    start: "M5 5h3v14H5zM20 5v14L9 12z", end: "M16 5h3v14h-3zM4 5v14l11-7z",
  };

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function drawing(tag, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  }

  function button(icon, label, act) {
    const node = make("button");
    node.type = "button";
    node.append(drawing("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }));
    node.firstChild.append(drawing("path", { d: ICONS[icon] }));
    node.setAttribute("aria-label", label);
    node.title = label;
    node.addEventListener("click", act);
    return node;
  }

  // As rlbench/numbers.py writes it.
  function number(x) {
    if (x === null || x === undefined) return "–";
    const y = Math.abs(x) < 1e4 || Math.abs(x) >= 1e7 ? Number(x.toPrecision(4)) : Math.round(x);
    const size = Math.abs(y);
    if (!size || (size >= 1e-4 && size < 1e7)) return String(y + 0);
    const [digits, order] = y.toExponential(3).split("e");
    return `${Number(digits)}e${Number(order)}`;
  }

  function range(rows) {
    let low = Infinity, high = -Infinity;
    for (const row of rows) for (const x of row) if (x !== null) { low = Math.min(low, x); high = Math.max(high, x); }
    return low <= high ? [low, high] : [0, 0];
  }

  // A line through values[t] at x = t, at most some 1,500 columns wide: of more, each column's least and greatest.
  function line(values, low, high, count) {
    const y = (x) => (high > low ? 96 - (92 * (x - low)) / (high - low) : 50).toFixed(2);
    const width = Math.max(1, Math.ceil(count / 1500));
    let path = "", pen = false;
    for (let from = 0; from < values.length; from += width) {
      const some = values.slice(from, from + width).filter((x) => x !== null);
      if (!some.length) { pen = false; continue; }
      const ends = width === 1 ? [some[0]] : [Math.min(...some), Math.max(...some)];
      for (const x of ends) { path += `${pen ? "L" : "M"}${from} ${y(x)}`; pen = true; }
    }
    return pen ? `${path}H${count}` : path;  // what holds in the last step holds to its end
  }

  // The area from lows[t] to highs[t].
  function band(lows, highs, low, high, count) {
    const y = (x) => (high > low ? 96 - (92 * (x - low)) / (high - low) : 50).toFixed(2);
    const over = [], under = [], width = Math.max(1, Math.ceil(count / 1500));
    for (let t = 0; t < lows.length; t += width) {
      if (lows[t] === null || highs[t] === null) continue;
      over.push(`${t} ${y(highs[t])}`);
      under.unshift(`${t} ${y(lows[t])}`);
    }
    return over.length ? `M${over.join("L")}L${under.join("L")}Z` : "";
  }

  const shifted = (means, stds, by) => means.map((row, t) => row.map((x, i) => (
    x === null || stds[t][i] === null ? null : x + by * stds[t][i])));

  function blocks(values, count, box) {
    let path = "";
    for (let t = 0, next; t < count; t = next) {
      for (next = t + 1; next < count && values[next] === values[t];) next++;
      const at = box(values[t]);
      if (at) path += `M${t} ${at[0]}H${Math.max(next, t + count / 700)}V${at[1]}H${t}Z`;
    }
    return path;
  }

  class Player {
    constructor(root) {
      this.root = root;
      this.data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
      this.hash = root.hasAttribute("data-hash");
      this.speed = this.data.speed === "max" ? Infinity : this.data.speed;
      this.pictures = new Map();
      this.t = 0;
      this.playing = false;
      this.build();
      const [episode, step] = this.fromHash();
      this.open(episode, step);
      new ResizeObserver(() => this.drawStrip()).observe(this.strip);
      document.addEventListener("keydown", (event) => this.key(event));
      if (this.hash) window.addEventListener("hashchange", () => {
        const [e, t] = this.fromHash();
        if (e !== this.number) this.open(e, t); else this.seek(t);
      });
      root.setAttribute("data-ready", "");
    }

    build() {
      this.top = make("div", "top");
      this.stage = make("figure", "stage");
      this.canvas = make("canvas");
      this.canvas.setAttribute("role", "img");
      this.canvas.addEventListener("click", () => this.toggle());
      this.none = make("p", "none");
      this.stage.append(this.canvas, this.none);
      this.now = make("div", "now");
      this.top.append(this.stage, this.now);

      const panel = make("div", "panel");
      this.playButton = button("play", "Play", () => this.toggle());
      this.playButton.classList.add("play");
      panel.append(
        button("start", "To the start", () => this.seek(0)), button("back", "A step back", () => this.seek(this.t - 1)),
        this.playButton,
        button("on", "A step on", () => this.seek(this.t + 1)), button("end", "To the end", () => this.seek(this.reel.length)),
      );
      this.select = make("select");
      this.select.setAttribute("aria-label", "Episode");
      this.data.reels.forEach((reel, i) => {
        const option = make("option", "", reel.title);
        option.value = i;
        this.select.append(option);
      });
      this.select.addEventListener("change", () => this.open(Number(this.select.value), 0));
      if (this.data.reels.length > 1) panel.append(this.select);
      const speeds = make("div", "speeds");
      speeds.setAttribute("role", "group");
      speeds.setAttribute("aria-label", "Speed");
      const offered = [...new Set([...SPEEDS, this.speed, Infinity])].sort((a, b) => a - b);
      this.speeds = offered.map((speed) => {
        const node = make("button", "", speed === Infinity ? "max" : `${speed}×`);
        node.type = "button";
        node.addEventListener("click", () => this.pace(speed));
        speeds.append(node);
        return [speed, node];
      });
      panel.append(speeds);

      this.slider = make("input");
      this.slider.type = "range";
      this.slider.min = 0;
      this.slider.setAttribute("aria-label", "Step");
      this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));

      this.lines = make("div", "lines");
      this.strip = make("canvas", "strip");
      this.strip.setAttribute("aria-hidden", "true");
      this.cursor = make("div", "cursor");
      const point = (event) => {
        const box = this.lines.getBoundingClientRect();
        this.seek(Math.floor(((event.clientX - box.left) / box.width) * this.reel.length + 1e-9));
      };
      this.lines.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        this.lines.setPointerCapture(event.pointerId);
        this.pause();
        point(event);
      });
      this.lines.addEventListener("pointermove", (event) => { if (event.buttons & 1) point(event); });

      this.note = make("p", "note");
      const help = make("p", "note help");
      for (const [keys, does] of [["Space", "play or pause"], ["← →", "a step"], ["Shift ← →", "ten steps"],
        ["Home End", "start, end"]].concat(this.data.reels.length > 1 ? [["↑ ↓", "another episode"]] : [])) {
        help.append(make("kbd", "", keys), ` ${does}   `);
      }
      this.what = make("p", "what");
      this.what.classList.toggle("many", this.data.reels.length > 1);
      this.root.append(this.what, this.top, panel, this.slider, this.lines, this.note, help);
      this.pace(this.speed);
    }

    open(which, step) {
      const reels = this.data.reels;
      this.pause();
      this.number = Math.min(Math.max(0, which || 0), reels.length - 1);
      this.reel = reels[this.number];
      this.reel.length = this.reel.rewards.length;
      this.select.value = this.number;
      this.pictures.clear();
      this.slider.max = this.reel.length;
      const shows = this.reel.pictures.length > 0;
      this.top.classList.toggle("bare", !shows);
      this.canvas.hidden = this.strip.hidden = !shows;
      this.none.hidden = shows;
      this.none.textContent = "No pictures: this environment draws none.";
      if (shows) {
        [this.canvas.width, this.canvas.height] = this.reel.size;
        this.canvas.classList.toggle("small", Math.max(...this.reel.size) < 400);
        this.canvas.classList.toggle("tiny", Math.max(...this.reel.size) < 160);
      }
      this.what.textContent = this.reel.title;
      this.note.textContent = this.reel.notes.join(" ");
      this.charts();
      this.facts();
      this.seek(step || 0);
      this.drawStrip();
    }

    action(a) {
      if (a === null || a === undefined) return "–";
      return Array.isArray(a) ? a.map(number).join(", ") : this.data.actions[a] || `action ${a}`;
    }

    colour(i) { return `var(--c${i % HUES})`; }

    facts() {
      this.now.replaceChildren();
      const list = make("dl", "facts");
      this.fact = {};
      for (const name of ["step", "return", "reward"]) {
        const cell = make("div");
        this.fact[name] = make("dd");
        cell.append(make("dt", "", { step: "step", return: "return so far", reward: "next reward" }[name]), this.fact[name]);
        list.append(cell);
      }
      this.now.append(list);
      const { q, probabilities, means, stds } = this.reel;
      this.bars = [];
      this.caption = make("p", "caption");
      if (q) {
        const [low, high] = range(q);
        this.group("q", "Q-values", q, (a) => this.action(a), (x) => [0, high > low ? 4 + (96 * (x - low)) / (high - low) : 50, number(x)]);
      }
      if (probabilities) this.group("probabilities", "Probabilities", probabilities, (a) => this.action(a), (x) => [0, 100 * x, x.toFixed(2)]);
      if (means) {
        const [low, high] = range(stds ? [...shifted(means, stds, -1), ...shifted(means, stds, 1)] : means);
        const at = (x) => (high > low ? (100 * (x - low)) / (high - low) : 50);
        this.group("means", stds ? "Mean and standard deviation" : "Mean", means, (i) => `dimension ${i}`, (x, t, i) => {
          const spread = stds ? stds[t][i] || 0 : 0;
          const from = Math.min(at(x - spread), 99), wide = Math.max(at(x + spread) - at(x - spread), 1);
          return [from, wide, stds ? `${number(x)} ± ${number(stds[t][i])}` : number(x)];
        });
      }
      this.now.append(this.caption);
    }

    // Bars of a number for each action, or dimension; ``place`` says where a bar begins, how wide it is (%), and what stands there.
    group(kind, title, rows, name, place) {
      const all = rows[0] ? rows[0].length : 0, count = Math.min(all, 18), bars = make("div", `bars ${kind}`);
      if (this.bars.length || kind === "means") this.now.append(make("p", "caption", title));
      for (let a = 0; a < count; a++) {
        const label = make("span", "name", name(a)), track = make("span", "track"), value = make("span", "number"), bar = make("i");
        label.style.setProperty("--c", this.colour(a));
        track.style.setProperty("--c", this.colour(a));
        track.append(bar);
        bars.append(label, track, value);
        this.bars.push((t, last) => {
          const x = last ? undefined : rows[t][a], known = x !== undefined && x !== null;
          const [from, wide, text] = known ? place(x, t, a) : [0, 0, x === undefined ? "" : number(x)];
          bar.style.marginLeft = `${from}%`;
          bar.style.width = `${wide}%`;
          value.textContent = text;
          label.classList.toggle("taken", !last && kind !== "means" && this.reel.actions[t] === a);
        });
      }
      this.now.append(bars);
      if (all > count) this.now.append(make("p", "caption", `The first ${count} of ${all}.`));
    }

    row(title, height, keys) {
      const row = make("div", "row"), head = make("div", "head"), plot = make("div", "plot"), read = make("span", "read");
      head.append(make("b", "", title));
      for (const [name, colour, dash] of keys || []) {
        const key = make("span", "key", name);
        key.style.setProperty("--c", colour);
        if (dash) key.style.setProperty("--dash", "dashed");
        head.append(key);
      }
      head.append(read);
      plot.style.height = `${height}px`;
      const svg = drawing("svg", { viewBox: `0 0 ${Math.max(1, this.reel.length)} 100`, preserveAspectRatio: "none" });
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", `${title} over the steps of the episode`);
      plot.append(svg);
      row.append(head, plot);
      this.lines.append(row);
      return [(d, colour, className) => {
        const path = drawing("path", { d, class: className || "" });
        path.style.setProperty("--c", colour);
        svg.append(path);
      }, read, (low, high) => {
        if (high > low) plot.append(make("span", "high", number(high)), make("span", "low", number(low)));
        else plot.append(make("span", "high", number(low)));
      }];
    }

    charts() {
      const reel = this.reel, n = reel.length;
      this.reads = [];
      this.lines.replaceChildren(this.strip, this.cursor);
      const column = (rows, i) => rows.map((row) => row[i]);
      if (reel.q && n) {
        const count = reel.q[0].length, few = count <= HUES;
        const keys = few ? reel.q[0].map((_, a) => [this.action(a), this.colour(a), a >= 4]) : [["every action", "var(--c7)"], ["the chosen one", "var(--c0)"]];
        const [draw, read, scale] = this.row("Q-values", 120, keys), [low, high] = range(reel.q);
        for (let a = 0; a < count; a++) draw(line(column(reel.q, a), low, high, n), few ? this.colour(a) : "var(--c7)", few ? (a >= 4 ? "dashed" : "") : "thin");
        if (!few && typeof reel.actions[0] === "number") draw(line(reel.q.map((row, t) => row[reel.actions[t]]), low, high, n), "var(--c0)");
        scale(low, high);
        const gap = (t) => { const s = reel.q[t].filter((x) => x !== null).sort((a, b) => b - a); return s.length > 1 ? `best by ${number(s[0] - s[1])}` : ""; };
        this.reads.push([read, (t) => (t < n ? gap(t) : "")]);
      }
      if (reel.probabilities && n) {
        const rows = reel.probabilities, count = rows[0].length, few = count <= HUES;
        const keys = reel.q || !few ? [] : rows[0].map((_, a) => [this.action(a), this.colour(a), a >= 4]);
        const [draw, read, scale] = this.row("Action probabilities", 90, keys);
        for (let a = 0; a < count; a++) draw(line(column(rows, a), 0, 1, n), few ? this.colour(a) : "var(--c7)", few ? (a >= 4 ? "dashed" : "") : "thin");
        scale(0, 1);
        this.reads.push([read, (t) => {
          const x = t < n && typeof reel.actions[t] === "number" ? rows[t][reel.actions[t]] : null;
          return x === null || x === undefined ? "" : `of the action taken ${x.toFixed(2)}`;
        }]);
      }
      if (reel.means && n) {
        const under = reel.stds && shifted(reel.means, reel.stds, -1), over = reel.stds && shifted(reel.means, reel.stds, 1);
        const count = reel.means[0].length, [low, high] = range(reel.stds ? [...under, ...over] : reel.means);
        const keys = reel.means[0].slice(0, HUES).map((_, i) => [`dimension ${i}`, this.colour(i), i >= 4]);
        const [draw, read, scale] = this.row(reel.stds ? "Policy: mean, and one standard deviation around it" : "Policy: mean", 90, keys);
        for (let i = 0; i < count; i++) {
          if (reel.stds) draw(band(column(under, i), column(over, i), low, high, n), this.colour(i), "band");
          draw(line(column(reel.means, i), low, high, n), this.colour(i), i >= 4 ? "dashed" : "");
        }
        scale(low, high);
        this.reads.push([read, (t) => (t < n ? this.action(reel.means[t]) : "")]);
      }
      if (reel.values && n) {
        const keys = [[reel.valued, "var(--c0)"]].concat(reel.followed ? [[`discounted return that followed (γ = ${number(reel.gamma)})`, "var(--c1)", true]] : []);
        const [draw, read, scale] = this.row("Value estimate", 90, keys);
        const [low, high] = range([reel.values, reel.followed || []]);
        if (reel.followed) draw(line(reel.followed, low, high, n), "var(--c1)", "dashed");
        draw(line(reel.values, low, high, n), "var(--c0)");
        scale(low, high);
        this.reads.push([read, (t) => (t < n ? number(reel.values[t]) + (reel.followed ? ` / ${number(reel.followed[t])}` : "") : "")]);
      }
      if (n) {
        if (Array.isArray(reel.actions[0])) {
          const count = reel.actions[0].length;
          const [draw, read, scale] = this.row("Chosen action", 80, reel.actions[0].slice(0, HUES).map((_, i) => [`dimension ${i}`, this.colour(i)]));
          const [low, high] = range(reel.actions);
          for (let i = 0; i < count; i++) draw(line(column(reel.actions, i), low, high, n), this.colour(i), i >= 4 ? "dashed" : "");
          scale(low, high);
          this.reads.push([read, (t) => this.action(reel.actions[t])]);
        } else {
          const told = reel.q || reel.probabilities;
          const most = Math.max(told ? told[0].length : 0, this.data.actions.length, 1 + Math.max(...reel.actions));
          const lane = 100 / most, few = most <= HUES;
          const [draw, read] = this.row("Chosen action", Math.min(108, Math.max(26, 14 * most)), told && few ? [] : few ? Array.from({ length: most }, (_, a) => [this.action(a), this.colour(a)]) : []);
          if (few) for (let a = 0; a < most; a++) draw(blocks(reel.actions, n, (x) => (x === a ? [lane * (a + 0.12), lane * (a + 0.88)] : null)), this.colour(a), "area");
          else draw(blocks(reel.actions, n, (x) => [lane * (x + 0.05), lane * (x + 0.95)]), "var(--c0)", "area");
          this.reads.push([read, (t) => (t < n ? this.action(reel.actions[t]) : "")]);
        }
        const [draw, read, scale] = this.row("Reward", new Set(reel.rewards).size > 1 ? 56 : 14);
        const [low, high] = range([reel.rewards, [0]]);
        const y = (x) => (high > low ? 96 - (92 * (x - low)) / (high - low) : 50);
        if (high > low) {
          draw(blocks(reel.rewards, n, (x) => (x > 0 ? [y(x).toFixed(2), y(0).toFixed(2)] : null)), "var(--good)", "area");
          draw(blocks(reel.rewards, n, (x) => (x < 0 ? [y(0).toFixed(2), y(x).toFixed(2)] : null)), "var(--bad)", "area");
        }
        if (new Set(reel.rewards).size > 1) scale(low, high);
        this.reads.push([read, (t) => (t < n ? number(reel.rewards[t]) : "")]);
      }
      const axis = make("div", "axis");
      axis.append(make("span", "", "step 0"), make("span", "", String(n)));
      this.lines.append(axis);
      this.totals = [0];
      for (const reward of reel.rewards) this.totals.push(this.totals[this.totals.length - 1] + (reward || 0));
    }

    at(t) { return this.reel.shown[t]; }

    picture(i) {
      if (!this.pictures.has(i)) {
        if (this.pictures.size > 160) this.pictures.delete(this.pictures.keys().next().value);
        const image = new Image();
        image.src = this.reel.pictures[i];
        this.pictures.set(i, image);
      }
      return this.pictures.get(i);
    }

    whenReady(image, draw) {
      if (image.complete && image.naturalWidth) draw();
      else image.addEventListener("load", draw, { once: true });
    }

    drawFrame() {
      if (!this.reel.pictures.length) return;
      const reel = this.reel, wanted = this.at(this.t), image = this.picture(wanted);
      this.whenReady(image, () => {
        if (reel !== this.reel || this.at(this.t) !== wanted) return;
        this.canvas.getContext("2d").drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
        this.canvas.dataset.picture = wanted;
      });
      if (this.playing) for (let k = 1; k <= 12; k++) if (this.t + k <= reel.length) this.picture(this.at(this.t + k));
    }

    drawStrip() {
      if (!this.reel.pictures.length || !this.strip.clientWidth) return;
      const reel = this.reel, ratio = window.devicePixelRatio || 1;
      const width = (this.strip.width = Math.round(this.strip.clientWidth * ratio));
      const height = (this.strip.height = Math.round(58 * ratio));
      const each = Math.max(1, (height * reel.size[0]) / reel.size[1]);
      const count = Math.max(1, Math.min(Math.round(width / Math.min(each, width / 3)), reel.pictures.length, 24));
      const context = this.strip.getContext("2d"), slot = width / count;
      for (let k = 0; k < count; k++) {
        const image = new Image();
        image.src = reel.pictures[this.at(Math.round(((k + 0.5) / count) * reel.length))];
        this.whenReady(image, () => {
          if (reel !== this.reel || this.strip.width !== width) return;
          const factor = height / image.naturalHeight;
          const wide = Math.min(image.naturalWidth, slot / factor);  // what does not fit is cut off left and right
          const w = wide * factor - ratio;
          context.drawImage(image, (image.naturalWidth - wide) / 2, 0, wide, image.naturalHeight, (k + 0.5) * slot - w / 2, 0, w, height);
        });
      }
    }

    seek(t) {
      const reel = this.reel, n = reel.length;
      this.t = t = Math.min(Math.max(0, Math.round(t) || 0), n);
      this.drawFrame();
      const last = t === n, share = n ? (100 * t) / n : 0;
      this.cursor.style.left = `${share}%`;
      this.slider.value = t;
      const total = number(this.totals[t]);
      this.slider.setAttribute("aria-valuetext", `step ${t} of ${n}, return ${total}`);
      this.canvas.setAttribute("aria-label", `${this.data.env}, step ${t} of ${n}, return ${total}`);
      this.fact.step.replaceChildren(String(t), make("small", "", ` / ${n}`));
      this.fact.return.textContent = total;
      this.fact.reward.textContent = last ? "–" : number(reel.rewards[t]);
      for (const [node, tell] of this.reads) node.textContent = last ? "" : tell(t);
      for (const bar of this.bars) bar(t, last);
      const dots = reel.q || reel.probabilities;
      const taken = last ? "" : dots ? `${reel.q ? "Q-values" : "Probabilities"} here; the filled dot is the action taken` : `Next action: ${this.action(reel.actions[t])}`;
      this.caption.textContent = last ? `The episode is over: ${reel.ending}.` : taken + (reel.other && reel.other[t] ? ", not the one these weights like best." : ".");
      if (!this.playing) this.toHash();
    }

    pace(speed) {
      this.speed = speed;
      for (const [of, node] of this.speeds) node.setAttribute("aria-pressed", String(of === speed));
    }

    toggle() { if (this.playing) { this.pause(); this.toHash(); } else this.play(); }

    play() {
      if (this.t >= this.reel.length) this.seek(0);
      this.playing = true;
      this.icon("pause", "Pause");
      let before = null, due = 0;
      const frame = (time) => {
        if (!this.playing) return;
        if (this.speed === Infinity) due = 1;
        else if (before !== null) due += Math.min(0.25, (time - before) / 1000) * this.reel.fps * this.speed;
        before = time;
        const steps = Math.floor(due);
        due -= steps;
        if (steps) this.seek(this.t + steps);
        if (this.t >= this.reel.length) { this.pause(); this.toHash(); } else requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    }

    pause() {
      this.playing = false;
      this.icon("play", "Play");
    }

    icon(name, label) {
      this.playButton.querySelector("path").setAttribute("d", ICONS[name]);
      this.playButton.setAttribute("aria-label", label);
      this.playButton.title = label;
    }

    key(event) {
      const inside = this.root.contains(event.target);
      if (event.ctrlKey || event.metaKey || event.altKey || !(inside || (this.hash && event.target === document.body))) return;
      const tag = event.target.tagName, far = event.shiftKey ? 10 : 1;
      if (tag === "SELECT" || (tag === "INPUT" && event.key.startsWith("Arrow"))) return;
      const does = {
        " ": tag === "BUTTON" ? null : () => this.toggle(),
        ArrowLeft: () => { this.pause(); this.seek(this.t - far); },
        ArrowRight: () => { this.pause(); this.seek(this.t + far); },
        ArrowUp: this.data.reels.length > 1 ? () => this.open(this.number - 1, 0) : null,
        ArrowDown: this.data.reels.length > 1 ? () => this.open(this.number + 1, 0) : null,
        Home: () => { this.pause(); this.seek(0); },
        End: () => { this.pause(); this.seek(this.reel.length); },
      }[event.key];
      if (!does) return;
      event.preventDefault();
      does();
    }

    fromHash() {
      const said = new URLSearchParams(this.hash ? location.hash.slice(1) : "");
      return [Number(said.get("e") || 1) - 1, Number(said.get("t") || 0)];
    }

    toHash() {
      if (!this.hash) return;
      const many = this.data.reels.length > 1 ? `e=${this.number + 1}&` : "";
      try { history.replaceState(null, "", `#${many}t=${this.t}`); } catch { /* a page in a sandbox has no history */ }
    }
  }

  for (const root of document.querySelectorAll(".rlb-player:not([data-ready])")) new Player(root);
})();
