// Amounts of money and of tokens as people read them.
//
// The API tells money as decimal text of any length, such as "0.001840000". It is added and rounded
// as whole numbers of its last digit, never as a floating-point number. Only the height of a bar is
// one (`height`).

/** An exact decimal: `digits` divided by ten to the power of `places`. */
interface Decimal {
  digits: bigint;
  places: number;
}

function decimal(text: string): Decimal {
  const [whole = "0", fraction = ""] = text.split(".");
  return { digits: BigInt(whole + fraction), places: fraction.length };
}

function at(value: Decimal, places: number): bigint {
  return value.digits * 10n ** BigInt(places - value.places);
}

function text(digits: bigint, places: number): string {
  const sign = digits < 0n ? "-" : "";
  const all = (digits < 0n ? -digits : digits).toString().padStart(places + 1, "0");
  const whole = all.slice(0, all.length - places);
  return sign + whole + (places > 0 ? `.${all.slice(all.length - places)}` : "");
}

/** The sum of decimal texts, exact. */
export function sum(amounts: string[]): string {
  const all = amounts.map(decimal);
  const places = Math.max(0, ...all.map((one) => one.places));
  return text(
    all.reduce((total, one) => total + at(one, places), 0n),
    places,
  );
}

/** `left` less `right`, exact. */
export function less(left: string, right: string): string {
  return sum([left, right.startsWith("-") ? right.slice(1) : `-${right}`]);
}

/** An amount divided by a whole number, cut behind nine decimals. */
export function divided(amount: string, by: number): string {
  const value = decimal(amount);
  return text(at(value, Math.max(9, value.places)) / BigInt(by), Math.max(9, value.places));
}

/** An amount rounded to `places`, halves away from zero. */
export function rounded(amount: string, places: number): string {
  const value = decimal(amount);
  if (value.places <= places) return text(at(value, places), places);
  const unit = 10n ** BigInt(value.places - places);
  const half = value.digits < 0n ? -unit / 2n : unit / 2n;
  return text((value.digits + half) / unit, places);
}

export function isZero(amount: string): boolean {
  return decimal(amount).digits === 0n;
}

/** With a comma at each thousand, as the command line writes it. */
export function grouped(number: number | string): string {
  const [whole = "", fraction] = String(number).split(".");
  const commas = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? commas : `${commas}.${fraction}`;
}

/** A count of things: `1 call`, `1,314 calls`. */
export function counted(number: number, thing: string): string {
  return `${grouped(number)} ${thing}${number === 1 ? "" : "s"}`;
}

/** Dollars and cents: `$1,299.92`. Less than half a cent, but not nothing, is `<$0.01`. */
export function dollars(amount: string, currency = "USD"): string {
  const cents = rounded(amount, 2);
  const isTiny = isZero(cents) && !isZero(amount);
  const sign = isTiny ? "<" : cents.startsWith("-") ? "-" : "";
  const digits = isTiny ? "0.01" : grouped(cents.replace("-", ""));
  return currency === "USD" ? `${sign}$${digits}` : `${sign}${digits} ${currency}`;
}

/** Three digits and a unit: `1.31M`. */
export function short(number: number): string {
  const size = Math.abs(number);
  if (size < 1000) return String(Math.round(number * 100) / 100);
  const units = ["K", "M", "B", "T"];
  let [value, unit] = [number, ""];
  for (const next of units) {
    if (Math.abs(value) < 999.5) break;
    [value, unit] = [value / 1000, next];
  }
  const decimals = Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0;
  return value.toFixed(decimals) + unit;
}

/** Bytes, in units of 1,000. */
export function bytes(number: number): string {
  const said = short(number).replace("B", "G");
  const unit = said.replace(/[-\d.]/g, "");
  return `${said.slice(0, said.length - unit.length)} ${unit}B`;
}

/** How high a bar is. The one place where money becomes a floating-point number. */
export function height(value: number | string | null): number {
  return value === null ? 0 : Number(value);
}

/** The change from `before` to `now` in percent, cut: `+12.3 %`; null where there is no before. */
export function change(now: string | number, before: string | number): string | null {
  if (isZero(String(before))) return null;
  const places = 12;
  const [left, right] = [at(decimal(String(now)), places), at(decimal(String(before)), places)];
  const permille = ((left - right) * 1000n) / right;
  return `${permille < 0n ? "−" : "+"}${text(permille < 0n ? -permille : permille, 1)} %`;
}
