/** The least that a guest can run: says that node is up, and waits to be ended. */
console.log('COCOS-BENCH-HELLO');
setInterval(() => undefined, 60_000);
