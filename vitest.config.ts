import { defineConfig } from 'vitest/config';

/** Tests that boot virtual machines end in `.vm.test.ts`. */
const vm = 'test/**/*.vm.test.ts';
const fault = 'test/fault/**/*.test.ts';
const integration = 'test/integration/**/*.test.ts';

export default defineConfig({
  test: {
    pool: 'forks',
    // Tests of real processes wait more than they work.
    maxWorkers: 3,
    setupFiles: ['test/harness/cleanup.ts'],
    // Only ends what hangs: how long a test may take is for the machine, which may be busy with other things.
    testTimeout: 900_000,
    hookTimeout: 900_000,
    expect: { poll: { timeout: 600_000, interval: 50 } },
    coverage: {
      include: ['src/**/*.ts'],
      exclude: ['src/rpc/gen/**'],
      reporter: ['text-summary', 'html', 'json-summary'],
    },
    projects: [
      {
        extends: true,
        test: { name: 'fast', include: ['test/**/*.test.ts'], exclude: [vm, fault, integration] },
      },
      { extends: true, test: { name: 'process', include: [integration], exclude: [vm] } },
      { extends: true, test: { name: 'fault', include: [fault] } },
      {
        extends: true,
        test: {
          name: 'vm',
          include: [vm],
          globalSetup: ['test/harness/vm-images.ts'],
          // QEMU's threads of two processors need them: when one is held up while the guest's kernel patches its code, the
          // other may run half of the patch, and the kernel ends.
          fileParallelism: false,
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
        },
      },
    ],
  },
});
