// A command that can be copied. It is the same question in a terminal.

import { useState } from "preact/hooks";
import { isFleet } from "../fleet";
import { announcement } from "../live";

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Only pages of the browser's own machine, and encrypted ones, may write it.
    return false;
  }
}

/** Reports that a hub writes itself. */
const OF_HUB = /^trueup (report(?!.* --completeness)|hub devices)\b/;

/** The same, of a hub: by its own command, or else of where the page has it from. */
function ofHub(command: string, url: string | undefined): string {
  if (OF_HUB.test(command)) return `${command} --hub ${location.origin}`;
  if (url === undefined) return command;
  // Letters that an address may have and a quoted word of a shell may not.
  const quoted = `'${location.origin}${url.replaceAll("'", "%27")}'`;
  return `curl -H "Authorization: Bearer $(cat "$TRUEUP_HUB_TOKEN_FILE")" ${quoted}`;
}

interface Props {
  command: string | null | undefined;
  /** Where a hub answers it, if no command asks it. */
  url?: string;
}

export function Cli({ command: own, url }: Props) {
  const [said, say] = useState("Copy");
  if (!own) return null;
  const command = isFleet.value ? ofHub(own, url) : own;
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
