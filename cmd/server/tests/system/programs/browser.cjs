// Headless Chromium on one page. Says what happens there: loads, titles, WebSockets, words on the console.
'use strict';
const { chromium } = require('playwright-core');

(async () => {
  const [executablePath, url] = process.argv.slice(2);
  const browser = await chromium.launch({
    executablePath,
    // The page is our own; a container often allows no namespaces for Chromium's sandbox.
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server'],
  });
  const page = await browser.newPage();
  page.on('websocket', (socket) => {
    console.log(`websocket ${socket.url()}`);
    socket.on('framereceived', ({ payload }) => console.log(`received ${String(payload).slice(0, 100)}`));
  });
  page.on('console', (message) => console.log(`console ${message.text()}`));
  page.on('load', () => console.log('load'));
  await page.exposeFunction('tellTitle', (title) => console.log(`title ${title}`));
  await page.addInitScript(() => {
    let last;
    setInterval(() => { if (document.title !== last) { last = document.title; tellTitle(last); } }, 50);
  });
  process.on('SIGTERM', () => browser.close().finally(() => process.exit()));
  await page.goto(url);
})();
