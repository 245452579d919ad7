// SPDX-License-Identifier: MIT
// The task of the plugin hello, in a worker thread of piscina: two strings in, "first second" out, checked as there.
export default function join({ first, second }) {
  if (typeof first !== 'string' || typeof second !== 'string') throw new TypeError('send two strings');
  if (first.length + 1 + second.length > 255) throw new RangeError('the answer would be over 255 bytes');
  return `${first} ${second}`;
}
