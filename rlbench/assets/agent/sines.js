// Sine and cosine by +, -, * alone, as rlbench/worlds/trig.py has them, to the bit: those of browsers differ in the last
// place. Sources: the coefficients of fdlibm (Sun Microsystems 1993), the reduction of Cody and Waite 1980.
const sinCos = (() => {
  "use strict";
  const SINE = [
    0, -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
    2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10, 0,
  ];
  const COSINE = [
    0, -0.5, 4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
    -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11,
  ];
  const QUARTERS = 6.36619772367581382433e-01;  // 2 / pi
  const PARTS = [1.57079632673412561417e+00, 6.07710050630396597660e-11, 2.02226624879595063154e-21];  // of pi / 2
  const EVEN = 6755399441055744;  // 1.5 * 2**52: adding and taking it away rounds to the nearest whole number, half to even

  function near(base, angle, terms, left) {
    const square = angle * angle, fourth = square * square;
    const pair = (i) => terms[i] + terms[i + 1] * square;
    const low = pair(0) + pair(2) * fourth, high = pair(4) + pair(6) * fourth;
    return base + (base * (low + high * (fourth * fourth)) + left);
  }

  // [sine, cosine] of an angle in radians, up to 2**20.
  return (angle) => {
    const quarters = angle * QUARTERS + EVEN - EVEN;
    const whole = angle - quarters * PARTS[0], second = quarters * PARTS[1];
    const rest = whole - second;
    const left = whole - rest - second - quarters * PARTS[2];
    const sine = near(rest, rest, SINE, left), cosine = near(1, rest, COSINE, -(rest * left));
    switch (((quarters % 4) + 4) % 4) {
      case 0: return [sine, cosine];
      case 1: return [cosine, -sine];
      case 2: return [-sine, -cosine];
      default: return [-cosine, sine];
    }
  };
})();
