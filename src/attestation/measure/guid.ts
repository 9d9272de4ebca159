import { hexToBytes } from '@noble/hashes/utils.js';

/** A GUID as UEFI stores it: the first three groups little-endian, the last two as written. */
export function guidBytes(text: string): Uint8Array {
  const bytes = hexToBytes(text.replaceAll('-', ''));
  const swap = (from: number, to: number): Uint8Array => bytes.slice(from, to).reverse();
  return Uint8Array.from([...swap(0, 4), ...swap(4, 6), ...swap(6, 8), ...bytes.slice(8)]);
}

/** Text of the 16 bytes of such a GUID. */
export function guidText(bytes: Uint8Array): string {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  const digits = order.map((index) => (bytes[index] ?? 0).toString(16).padStart(2, '0')).join('');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
