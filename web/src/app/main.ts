import { createApp } from 'vue';
import App from './App.vue';
import { preferredLanguage, setLanguage } from './i18n';
import { router } from './router';
import './styles.css';

// The language first: a page that changes its direction after it was shown is worse than one that waits.
await setLanguage(preferredLanguage(), false);
createApp(App).use(router).mount('#app');
