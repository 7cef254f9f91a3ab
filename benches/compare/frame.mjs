// The one WebSocket frame that the bench sends: binary, MESSAGE bytes.

/** Payload of a message each way, in bytes: 30 KiB. */
export const MESSAGE = 30 * 1024;

/** Header of a binary frame of `length` bytes (126 to 65,535). A mask of zeros leaves the payload as it is. */
export function header(length, masked) {
  const head = Buffer.alloc(masked ? 8 : 4);
  head[0] = 0x82;
  head[1] = (masked ? 0x80 : 0) | 126;
  head.writeUInt16BE(length, 2);
  return head;
}
