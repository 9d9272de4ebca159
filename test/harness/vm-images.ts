import { buildTestImages, whyNoGuests } from '../guest/test-image.ts';

/** Runs once before the files that boot guests, which run side by side and must find the images built. */
export async function setup(): Promise<void> {
  if (whyNoGuests() === null) await buildTestImages();
}
