import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

/**
 * What a process writes, line by line. Only a line feed ends one: `readline` also ends them at U+2028 and
 * U+2029, which JSON may contain as they are. Of a longer line the rest is left out, because a process
 * that writes without an end must not fill the memory of the one that reads.
 */
export function onLines(stream: Readable, heard: (line: string) => void): void {
  const decoder = new StringDecoder("utf8");
  let begun = "";
  const take = (text: string): void => {
    let from = 0;
    for (;;) {
      const end = text.indexOf("\n", from);
      const more = LONGEST - begun.length;
      if (more > 0)
        begun += text.slice(from, Math.min(end === -1 ? text.length : end, from + more));
      if (end === -1) return;
      from = end + 1;
      const line = begun;
      begun = "";
      heard(line.endsWith("\r") ? line.slice(0, -1) : line);
    }
  };
  stream.on("data", (chunk: Buffer) => take(decoder.write(chunk)));
  stream.on("end", () => {
    take(decoder.end());
    if (begun !== "") heard(begun);
  });
}

/** Characters. A Worker's call is told of in one line, and is no longer than this. */
const LONGEST = 4 * 1024 * 1024;
