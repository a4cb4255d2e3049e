import axe, { type AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';
import { assert } from './until';

const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** What axe finds wrong with the page as it is now, each with the elements. */
export async function violations(page: Page): Promise<string[]> {
  // Colours are judged when they have arrived.
  await page.evaluate(() => Promise.all(document.getAnimations().filter((one) => one.effect?.getTiming().iterations !== Infinity).map((one) => one.finished.catch(() => undefined))));
  await page.evaluate(axe.source);
  const results = await page.evaluate(
    (values) => (globalThis as unknown as { axe: { run(options: object): Promise<AxeResults> } }).axe.run({ runOnly: { type: 'tag', values }, resultTypes: ['violations'] }),
    tags,
  );
  assert(results.passes.length > 10, `axe looked at the page: ${results.passes.length} rules passed`);
  return results.violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 200)} (${node.failureSummary?.replace(/\s+/g, ' ')})`));
}
