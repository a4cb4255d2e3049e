import { defineConfig } from 'vitest/config';
import vue from '@vitejs/plugin-vue';

// Unit tests run in Node; what needs a real browser lives in e2e/.
export default defineConfig({
  plugins: [vue()],
  test: {
    include: ['src/**/*.test.ts', 'e2e/**/*.test.ts'],
    environment: 'node',
    // The suite is short: workers cost more than they save on a small machine.
    maxWorkers: 2,
    restoreMocks: true,
  },
});
