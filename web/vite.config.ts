import { defineConfig } from 'vite';
import vue from '@vitejs/plugin-vue';
import tailwindcss from '@tailwindcss/vite';

const server = 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [vue(), tailwindcss()],
  build: {
    // Browsers with light-dark(), so that the theme needs no generated fallback.
    target: ['chrome123', 'firefox121', 'safari17.5'],
    manifest: true,
    modulePreload: { polyfill: false },
    // Nothing is inlined as a data: URL: the content security policy allows only the own origin.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        // What a page needs at once comes in one file each, however many later parts share it: small files compress badly.
        codeSplitting: {
          groups: [
            { name: 'start', test: /app\/(App|pages\/LandingPage)\.vue/, priority: 3 },
            { name: 'page', test: /lobby\/LobbyView\.vue/, priority: 2 },
            { name: 'call', test: /room\/(StageView|ControlBar|TopBar)\.vue|chat\/ChatPanel\.vue/, priority: 1 },
          ],
        },
      },
    },
  },
  server: {
    proxy: {
      '/ws': { target: server, ws: true },
      '/api': { target: server, ws: true },
      '/session': server,
      '/events': server,
      '/send': server,
    },
  },
});
