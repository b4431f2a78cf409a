// Amounts are exact, and are written as the command line writes them; keys lead where they say.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ticks } from "../src/charts/scale";
import { placeAfter } from "../src/charts/walk";
import { bytes, change, divided, dollars, grouped, less, rounded, short, sum } from "../src/money";

test("sums lose no digit", () => {
  assert.equal(sum(["0.1", "0.2"]), "0.3");
  assert.equal(sum(["9007199254740993.000000001", "-0.000000002"]), "9007199254740992.999999999");
  assert.equal(sum([]), "0");
  assert.equal(less("1.5", "2"), "-0.5");
  assert.equal(less("1.5", "-2"), "3.5");
  assert.equal(divided("42", 7), "6.000000000");
});

test("halves are rounded away from zero", () => {
  for (const [amount, cents] of [
    ["1.005", "1.01"],
    ["1.0049999", "1.00"],
    ["-1.005", "-1.01"],
    ["2", "2.00"],
    ["0", "0.00"],
  ] as const) {
    assert.equal(rounded(amount, 2), cents, amount);
  }
});

test("dollars are those of the command line", () => {
  for (const [amount, said] of [
    ["1299.915", "$1,299.92"],
    ["0.004", "<$0.01"],
    ["0", "$0.00"],
    ["-3.5", "-$3.50"],
    ["1000000", "$1,000,000.00"],
  ] as const) {
    assert.equal(dollars(amount), said, amount);
  }
  assert.equal(dollars("12", "CNY"), "12.00 CNY");
});

test("counts are those of the command line", () => {
  assert.equal(grouped(1314262), "1,314,262");
  for (const [count, said] of [
    [0, "0"],
    [999, "999"],
    [1000, "1.00K"],
    [1314262, "1.31M"],
    [99_960_000, "100M"],
    [999_999, "1.00M"],
    [4_500_000_000, "4.50B"],
  ] as const) {
    assert.equal(short(count), said);
  }
  assert.equal(bytes(1_500_000), "1.50 MB");
  assert.equal(bytes(12), "12 B");
});

test("a change is cut, and there is none where nothing was before", () => {
  assert.equal(change("150", "100"), "+50.0 %");
  assert.equal(change(99, 100), "−1.0 %");
  assert.equal(change("1", "0.000"), null);
});

test("an axis has round numbers and reaches its most", () => {
  assert.deepEqual(ticks(100), [0, 25, 50, 75, 100]);
  assert.deepEqual(ticks(0), [0, 1]);
  for (const most of [0.003, 7, 14_808_652, 1e15]) assert.ok((ticks(most).at(-1) ?? 0) >= most);
});

test("keys walk over a chart, and stay on it", () => {
  const ground = { last: 9, begin: 7, steps: { ArrowLeft: -7, ArrowRight: 7, ArrowUp: -1 } };
  for (const [key, from, to] of [
    ["ArrowLeft", null, 7],
    ["ArrowRight", null, 7],
    ["ArrowLeft", 7, 0],
    ["ArrowLeft", 3, 0],
    ["ArrowRight", 3, 9],
    ["ArrowUp", 7, 6],
    ["Home", null, 0],
    ["End", 2, 9],
    ["ArrowDown", 2, null],
    ["a", null, null],
  ] as const) {
    assert.equal(placeAfter(key, from, ground), to, `${key} from ${from}`);
  }
});
