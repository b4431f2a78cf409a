// What was looked at, and what did not hold.

const failed = [];
let held = 0;
let part = "";

export function begin(name) {
  part = name;
  console.log(`\n${name}`);
}

/** One thing that must hold; those after it are looked at all the same. */
export async function check(name, body) {
  const began = Date.now();
  try {
    const said = await body();
    held += 1;
    console.log(`  ok      ${name}${said ? `: ${said}` : ""} (${Date.now() - began} ms)`);
  } catch (error) {
    failed.push(`${part}: ${name}`);
    const words = (error.message ?? String(error)).split("\n").slice(0, 24).join("\n          ");
    console.log(`  FAILED  ${name}\n          ${words}`);
  }
}

/** Says how it went; whether all held. */
export function finish() {
  console.log(`\n${held} things held${failed.length > 0 ? `, ${failed.length} did not:` : ""}`);
  for (const name of failed) console.log(`  ${name}`);
  return failed.length === 0;
}
