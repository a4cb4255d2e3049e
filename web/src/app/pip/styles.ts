/**
 * Gives `target` the look of this page: the same style sheets, loaded when it resolves. One that does not load is done
 * without: a window with less of a look is better than none.
 */
export async function copyStyles(target: Document): Promise<void> {
  const sheets = [...document.querySelectorAll<HTMLLinkElement | HTMLStyleElement>('link[rel="stylesheet"], style')];
  await Promise.all(
    sheets.map((sheet) => {
      const copy = target.importNode(sheet, true);
      // By its full address: the new document has none of its own.
      if (copy.tagName === 'LINK') (copy as HTMLLinkElement).href = (sheet as HTMLLinkElement).href;
      const loaded = new Promise((resolve) => {
        if (copy.tagName !== 'LINK') return resolve(undefined);
        copy.addEventListener('load', resolve);
        copy.addEventListener('error', resolve);
      });
      target.head.append(copy);
      return loaded;
    }),
  );
}
