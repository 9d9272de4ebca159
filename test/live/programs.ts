/** Algorithms of the computations. */
export const PROGRAMS = {
  good: 'import os\nopen(os.path.join(os.environ["COCOS_RESULTS"], "out"), "w").write("2")\n',
  bad: 'raise SystemExit(3)\n',
  slow: 'import time\ntime.sleep(60)\n',
  /** A result that takes a while to seal. */
  large:
    'import os\nopen(os.path.join(os.environ["COCOS_RESULTS"], "out"), "wb").write(os.urandom(1 << 27))\n',
};
