import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import type { Tails } from "../control/workers/tails.ts";
import { closeSoon } from "../forward/sockets.ts";

/** The WebSockets of `wrangler tail`, at the address of the API. */
export class TailSockets implements Disposable {
  readonly #tails: Pick<Tails, "connect">;
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: LONGEST_MESSAGE,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
  });

  constructor(tails: Pick<Tails, "connect">) {
    this.#tails = tails;
  }

  /** Handles a server's `upgrade` event. Any upgrade that is not a tail is closed. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => socket.destroy());
    const url = URL.parse(request.url ?? "", "http://api");
    const id = PATH.exec(url?.pathname ?? "")?.[1];
    const key = url?.searchParams.get("key") ?? "";
    if (id === undefined) return refuse(socket);
    let webSocket: WebSocket | null = null;
    const reader = this.#tails.connect(id, key, {
      send: (text) => {
        if (webSocket === null || webSocket.bufferedAmount > MOST_BUFFERED) return false;
        webSocket.send(text);
        return true;
      },
      close: () => webSocket?.close(1000),
    });
    if (reader === null) return refuse(socket);
    let isOver = false;
    const over = (): void => {
      if (isOver) return;
      isOver = true;
      reader.closed();
    };
    socket.once("close", over);
    this.#server.handleUpgrade(request, socket, head, (opened) => {
      webSocket = opened;
      takeUnmasked(opened);
      opened.on("message", (message) => {
        if (Buffer.isBuffer(message) && wantsAll(message.toString())) reader.debug();
      });
      opened.on("error", () => opened.terminate());
      opened.on("close", over);
    });
  }

  [Symbol.dispose](): void {
    for (const client of this.#server.clients) client.close(1001);
    this.#server.close();
  }
}

/**
 * wrangler sends its first message unmasked. RFC 6455 forbids this to clients, and Cloudflare accepts it. `ws` has no
 * option for it: its receiver demands a mask as a server, and none as a client. So it is told to be what fits each frame.
 */
function takeUnmasked(webSocket: WebSocket): void {
  const { _receiver: receiver } = webSocket as unknown as { _receiver: { _masked?: boolean } };
  Object.defineProperty(receiver, "_isServer", { get: () => receiver._masked === true });
}

function refuse(socket: Duplex): void {
  socket.write("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  closeSoon(socket);
}

/** wrangler's first message: `{"debug":false}`. */
function wantsAll(message: string): boolean {
  try {
    return (JSON.parse(message) as { debug?: unknown } | null)?.debug === true;
  } catch {
    return false;
  }
}

const PROTOCOL = "trace-v1";
const PATH =
  /^\/client\/v4\/accounts\/[^/]+\/workers\/scripts\/[^/]+\/tails\/([0-9a-f]{32})\/socket$/;
/** Bytes. */
const LONGEST_MESSAGE = 4_096;
/** Bytes that may wait for a slow reader. Beyond that, entries are left out. */
const MOST_BUFFERED = 1_048_576;
