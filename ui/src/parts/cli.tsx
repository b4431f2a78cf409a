// A command that can be copied. It is the same question in a terminal.

import { useState } from "preact/hooks";
import { announcement } from "../live";

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Only pages of this machine, and encrypted ones, may write it.
    return false;
  }
}

export function Cli({ command }: { command: string | null | undefined }) {
  const [said, say] = useState("Copy");
  if (!command) return null;
  const onClick = async () => {
    const next = (await copy(command)) ? "Copied" : "Select it";
    say(next);
    announcement.value = next === "Copied" ? "Command copied" : "The browser does not allow copying";
    setTimeout(() => say("Copy"), 2000);
  };
  return (
    <div class="cli">
      <code dir="ltr">{command}</code>
      <button type="button" onClick={onClick} aria-label={`${said}: ${command}`}>
        {said}
      </button>
    </div>
  );
}
