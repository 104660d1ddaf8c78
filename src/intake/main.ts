/** The intake process: judges and seals uploaded keys, and ends soon after. See process-intake.ts. */
import { Socket } from "node:net";
import { textsIn, UploadText } from "../certificates/upload-text.ts";
import { closeMemory } from "../process/closed-memory.ts";
import { serve } from "../process/serve.ts";
import { FrameReader } from "./frames.ts";
import { UPLOADS_FD, WASH_FD, type IntakeCalls } from "./messages.ts";
import { washRequest } from "./wash.ts";

closeMemory();

const frames = new FrameReader();
const uploads = new Map<number, UploadText>();

new Socket({ fd: UPLOADS_FD, readable: true, writable: false }).on("data", (chunk) =>
  frames.push(chunk as Buffer),
);
const washing = new Socket({ fd: WASH_FD }).resume();

const calls: IntakeCalls = {
  open: async (id) => {
    const text = UploadText.of(await frames.whole(id));
    uploads.set(id, text);
    return text.fields;
  },
  openTexts: async (id) => textsIn(await frames.whole(id)),
  judge: (id, terms, place) => {
    const upload = held(id);
    const judged = upload.judge(terms);
    if (judged.kind === "ca") return judged;
    if (place === null) return { ...judged, sealed: null };
    uploads.delete(id);
    return { ...judged, sealed: upload.sealKey(place) };
  },
  seal: (id, place) => held(id).sealKey(place),
  release: (id) => {
    uploads.delete(id);
    frames.forget(id);
  },
  wash: () => new Promise((resolve) => washing.write(washRequest, () => resolve())),
};

function held(id: number): UploadText {
  const found = uploads.get(id);
  if (found === undefined) throw new Error(`there is no upload ${id}`);
  return found;
}

serve({
  call: (method, args) =>
    (calls[method as keyof IntakeCalls] as (...all: unknown[]) => unknown)(...args),
  stop: () => Promise.resolve(),
  abandon: () => {},
});
