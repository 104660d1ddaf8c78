import type { Socket } from "node:net";
import type { Writable } from "node:stream";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import type { HeldUpload, JudgedUpload, KeyIntake, PairBytes } from "../certificates/key-intake.ts";
import { Failure } from "../failures/failures.ts";
import type { Place } from "../keys/places.ts";
import type { SealedBody } from "../keys/seal.ts";
import type { HiddenTexts } from "../keys/secret-texts.ts";
import { endedFailure, NodeProcess, ProcessEnded } from "../process/node-process.ts";
import type { ProcessRecords } from "../process/orphans.ts";
import type { ProcessUser } from "../process/walls/process-users.ts";
import { FRAME, frameHeader, type IntakeCalls } from "./messages.ts";
import { Wash } from "./wash.ts";

export interface ProcessIntakeOptions {
  readonly workingDirectory: string;
  /** Default: that of this process. */
  readonly user?: ProcessUser | null;
  readonly processes: ProcessRecords | null;
  readonly log: Logger;
  /** ms that a process is kept after its last upload. Default: 1,000. */
  readonly idle?: number;
  /** Uploads after which another process takes over. Default: 1,000. */
  readonly uploads?: number;
}

/**
 * Keeps uploaded keys out of the memory of this process: a child reads, judges and seals them. It is
 * started by an upload, and ended soon after the last one, which gives its memory back to the kernel.
 */
export class ProcessIntake implements KeyIntake, AsyncDisposable {
  readonly #options: ProcessIntakeOptions;
  #current: Promise<IntakeRun> | null = null;
  readonly #running = new Set<IntakeRun>();
  #isClosed = false;

  constructor(options: ProcessIntakeOptions) {
    this.#options = options;
  }

  async receive(body: AsyncIterable<Uint8Array>): Promise<HeldUpload> {
    const take = await this.#take();
    return take.upload(frames(body, FRAME.body));
  }

  async receivePair({ certificate, key }: PairBytes): Promise<HeldUpload> {
    const take = await this.#take();
    return take.upload([
      [FRAME.certificate, certificate],
      [FRAME.key, key],
    ]);
  }

  async receiveTexts(body: AsyncIterable<Uint8Array>): Promise<HiddenTexts> {
    const take = await this.#take();
    return take.texts(frames(body, FRAME.texts));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#running].map((run) => run.end()));
  }

  /** A process that takes one more upload. */
  async #take(): Promise<Take> {
    const { uploads = 1_000 } = this.#options;
    const run = await (this.#current ??= this.#start());
    if (run.isEnding || run.count >= uploads) {
      if ((await this.#current) === run) this.#current = null;
      run.endWhenIdle();
      return this.#take();
    }
    return run.take();
  }

  async #start(): Promise<IntakeRun> {
    const starting = IntakeRun.start(this.#options);
    try {
      const run = await starting;
      this.#running.add(run);
      if (this.#isClosed) await run.end();
      void run.ended.then(() => this.#running.delete(run));
      return run;
    } catch (error) {
      this.#current = null;
      throw error;
    }
  }
}

async function* frames(body: AsyncIterable<Uint8Array>, kind: number): AsyncGenerator<Frame> {
  for await (const chunk of body) yield [kind, chunk];
}

type Frame = readonly [kind: number, bytes: Uint8Array];

type Sent = Iterable<Frame> | AsyncIterable<Frame>;

/** One of the two has to be called. @throws Failure `body_not_json`, `edge_process_ended` */
interface Take {
  upload(sent: Sent): Promise<HeldUpload>;
  texts(sent: Sent): Promise<HiddenTexts>;
}

/** One intake process. */
class IntakeRun {
  readonly ended: Promise<string>;
  readonly #node: NodeProcess;
  readonly #pipe: Writable;
  readonly #wash: Wash;
  readonly #idle: number;
  #timer: NodeJS.Timeout | null = null;
  #open = 0;
  #count = 0;
  #isEnding = false;

  static async start({
    workingDirectory,
    user = null,
    processes,
    log,
    idle = 1_000,
  }: ProcessIntakeOptions): Promise<IntakeRun> {
    const node = await NodeProcess.start({
      name: "key intake",
      modulePath: fileURLToPath(new URL(`./main${extname(import.meta.url)}`, import.meta.url)),
      workingDirectory,
      user,
      processes,
      log,
      pipes: 2,
    });
    return new IntakeRun(node, idle);
  }

  private constructor(node: NodeProcess, idle: number) {
    this.#node = node;
    this.#idle = idle;
    const [uploads, washing] = node.pipes as [Socket, Socket];
    this.#pipe = uploads;
    this.#wash = new Wash(washing, () => this.#call("wash"), node.ended);
    this.ended = node.ended.then((how) => {
      this.#isEnding = true;
      return how;
    });
    node.watch();
  }

  get count(): number {
    return this.#count;
  }

  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** Counts an upload that is to come. */
  take(): Take {
    const id = ++this.#count;
    this.#open++;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    return {
      upload: (sent) => this.#receive(id, sent),
      texts: (sent) => this.#receiveTexts(id, sent),
    };
  }

  async #receiveTexts(id: number, sent: Sent): Promise<HiddenTexts> {
    try {
      await this.#sendAll(id, sent);
      const [texts] = await Promise.all([this.#call("openTexts", id), this.#wash.run()]);
      return texts;
    } finally {
      this.#release(id);
    }
  }

  async #receive(id: number, sent: Sent): Promise<HeldUpload> {
    const keys = new SealedAhead();
    const release = once(() => {
      keys[Symbol.dispose]();
      this.#release(id, keys.wereSealed);
    });
    try {
      await this.#sendAll(id, sent);
      const [fields] = await Promise.all([this.#call("open", id), this.#wash.run()]);
      return {
        fields,
        judge: async (terms, place): Promise<JudgedUpload> => {
          const judged = await this.#call("judge", id, terms, place ?? null);
          if (judged.kind === "ca") return judged;
          const { sealed, ...leaf } = judged;
          if (sealed === null) return { ...leaf, sealKey: (at) => this.#call("seal", id, at) };
          keys.keep(place!, sealed);
          return { ...leaf, sealKey: async (at) => keys.take(at) };
        },
        [Symbol.dispose]: release,
      };
    } catch (error) {
      release();
      throw error;
    }
  }

  endWhenIdle(): void {
    this.#isEnding = true;
    if (this.#open === 0) void this.end();
  }

  /** At once: its memory is the kernel's again, which wipes it. */
  async end(): Promise<void> {
    this.#isEnding = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#node.stop(0);
  }

  /** @param isGone the intake has let go of it already */
  #release(id: number, isGone = false): void {
    if (!isGone) this.#call("release", id).catch(() => {});
    this.#open--;
    if (this.#open > 0) return;
    if (this.#isEnding) void this.end();
    else this.#timer = setTimeout(() => void this.end(), this.#idle);
  }

  async #sendAll(id: number, sent: Sent): Promise<void> {
    for await (const [kind, bytes] of sent) await this.#send(id, kind, bytes);
    await this.#send(id, FRAME.end, new Uint8Array(0));
  }

  /** Wipes the bytes once the kernel has them. */
  #send(id: number, kind: number, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#pipe.cork();
      this.#pipe.write(frameHeader(id, kind, bytes.byteLength));
      this.#pipe.write(bytes, () => {
        bytes.fill(0);
        resolve();
      });
      this.#pipe.uncork();
    });
  }

  async #call<M extends keyof IntakeCalls>(
    method: M,
    ...args: Parameters<IntakeCalls[M]>
  ): Promise<Awaited<ReturnType<IntakeCalls[M]>>> {
    try {
      return (await this.#node.call(method, args)) as Awaited<ReturnType<IntakeCalls[M]>>;
    } catch (error) {
      if (error instanceof ProcessEnded) throw endedFailure("key intake", error.message);
      throw error;
    }
  }
}

/** A key that was sealed before the transaction that stores it. If nothing stores it, its data key is wiped. */
class SealedAhead implements Disposable {
  wereSealed = false;
  #kept: { readonly place: Place; readonly sealed: SealedBody } | null = null;

  keep(place: Place, sealed: SealedBody): void {
    this.wereSealed = true;
    this.#kept = { place, sealed };
  }

  /** Once: whoever stores the key wipes its data key. */
  take(place: Place): SealedBody {
    const kept = this.#kept;
    if (kept === null || !isSamePlace(kept.place, place)) {
      throw new Failure("internal", {
        message: "the key was sealed for another place, or is stored",
      });
    }
    this.#kept = null;
    return kept.sealed;
  }

  [Symbol.dispose](): void {
    this.#kept?.sealed.dataKey.fill(0);
    this.#kept = null;
  }
}

function isSamePlace(one: Place, other: Place): boolean {
  return one.kind === other.kind && one.account === other.account && one.id === other.id;
}

function once(run: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    run();
  };
}
