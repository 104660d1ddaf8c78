import type { Socket } from "node:net";

/**
 * Sends requests over a connection without waiting for answers.
 * @returns the responses that came until the connection was closed, or all have come
 */
export async function pipelined(socket: Socket, request: string, count: number): Promise<number> {
  socket.on("error", () => {});
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
    if (responses() === count) socket.destroy();
  });
  const responses = (): number => text.split("HTTP/1.1 ").length - 1;
  socket.write(request.repeat(count));
  await closed(socket);
  return responses();
}

/** Also one that is reset. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}
