/**
 * Control characters, and those that turn the direction of text, as `\u001b`: names and messages of
 * others cannot move the terminal's cursor, or look like something else. Line ends and tabs stay.
 */
export function visible(text: string): string {
  return text.replaceAll(
    // oxlint-disable-next-line no-control-regex
    /\r(?!\n)|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    escaped,
  );
}

/** The same, and text that came as several lines stays on one. */
export function visibleLine(text: string): string {
  return visible(text).replaceAll(/[\n\r\t]/g, escaped);
}

/** The same as `visible`, but colours stay. */
export function visibleColored(text: string): string {
  // oxlint-disable-next-line no-control-regex
  const parts = text.split(/(\u001b\[\d+(?:;\d+)*m)/);
  return parts.map((part, i) => (i % 2 === 0 ? visible(part) : part)).join("");
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
