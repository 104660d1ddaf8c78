/**
 * Ends a Cap'n Proto RPC connection with a reason: the one message that is needed where nothing is
 * served. `reason` is what the caller's exception says. See `Message.abort` in capnp's rpc.capnp.
 */
export function rpcAbort(reason: string): Buffer {
  const text = Buffer.from(`${reason}\0`);
  const padded = Math.ceil(text.length / WORD);
  const words = FIXED_WORDS + padded;
  const message = Buffer.alloc(WORD + words * WORD);
  // One segment, and its length.
  message.writeUInt32LE(words, 4);
  // The root and the exception are structs of one word of data and one pointer, each right behind its pointer.
  message.writeUInt16LE(1, 12);
  message.writeUInt16LE(1, 14);
  message.writeUInt16LE(ABORT, 16);
  message.writeUInt16LE(1, 28);
  message.writeUInt16LE(1, 30);
  // The exception's data are zero: its type is "failed". Its text is a list of bytes.
  message.writeUInt32LE(LIST, 40);
  message.writeUInt32LE(text.length * 8 + BYTES, 44);
  text.copy(message, 48);
  return message;
}

const WORD = 8;
/** Root pointer, message, exception pointer, exception, text pointer. */
const FIXED_WORDS = 5;
const ABORT = 1;
const LIST = 1;
const BYTES = 2;
