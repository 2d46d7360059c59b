// The random numbers that Gymnasium's environments begin with: NumPy's Generator(PCG64(seed)), to the bit.
// Sources: O'Neill 2014, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random Number
// Generation" (XSL-RR 128/64); the hash of seeds is O'Neill 2015, "Developing a seed_seq Alternative", as NumPy has it.
const Random = (() => {
  "use strict";
  const WIDE = (1n << 128n) - 1n, LONG = (1n << 64n) - 1n, HALF = 0xffffffffn;
  const TIMES = 0x2360ed051fc65da44385df649fccf645n;

  // Eight words of 32 bits from a seed of one or two.
  function hashed(seed) {
    let constant = 0x43b0d7e5;
    const hash = (value) => {
      value = (value ^ constant) >>> 0;
      constant = Math.imul(constant, 0x931e8875) >>> 0;
      value = Math.imul(value, constant) >>> 0;
      return (value ^ (value >>> 16)) >>> 0;
    };
    const mix = (x, y) => {
      const both = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) >>> 0;
      return (both ^ (both >>> 16)) >>> 0;
    };
    const pool = [seed % 4294967296, Math.floor(seed / 4294967296), 0, 0].map(hash);
    for (let from = 0; from < 4; from++) {
      for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
    }
    let turn = 0x8b51f9dd;
    return Array.from({ length: 8 }, (_, i) => {
      const value = (pool[i % 4] ^ turn) >>> 0;
      turn = Math.imul(turn, 0x58f38ded) >>> 0;
      const product = Math.imul(value, turn) >>> 0;
      return (product ^ (product >>> 16)) >>> 0;
    });
  }

  class Random {
    // seed: a whole number from 0 to 2**53 - 1, as it goes to env.reset(seed=...).
    constructor(seed) {
      const words = hashed(seed).map(BigInt);
      const long = (i) => words[2 * i] | (words[2 * i + 1] << 32n);
      this.increment = ((((long(2) << 64n) | long(3)) << 1n) | 1n) & WIDE;
      this.state = (this.increment + ((long(0) << 64n) | long(1))) & WIDE;
      this.state = (this.state * TIMES + this.increment) & WIDE;
      this.spare = null;  // the upper half of 64 bits of which the lower was taken
    }

    bits64() {
      this.state = (this.state * TIMES + this.increment) & WIDE;
      const folded = (this.state >> 64n) ^ (this.state & LONG), turn = this.state >> 122n;
      return ((folded >> turn) | (folded << ((64n - turn) & 63n))) & LONG;
    }

    bits32() {
      if (this.spare !== null) {
        const found = this.spare;
        this.spare = null;
        return found;
      }
      const bits = this.bits64();
      this.spare = bits >> 32n;
      return bits & HALF;
    }

    // Generator.uniform(low, high)
    uniform(low, high) { return low + (high - low) * (Number(this.bits64() >> 11n) / 9007199254740992); }

    // Generator.integers(n), n from 1 to 2**32 - 1 (Lemire 2019, doi:10.1145/3230636)
    below(n) {
      if (n === 1) return 0;
      const wide = BigInt(n), least = ((1n << 32n) - wide) % wide;
      let product = this.bits32() * wide;
      while ((product & HALF) < least) product = this.bits32() * wide;
      return Number(product >> 32n);
    }
  }

  return Random;
})();
