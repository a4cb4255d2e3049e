import { createRouter, createWebHistory } from 'vue-router';
import { loadTexts } from './i18n';
import { parseRoom } from './lib/roomName';
import LandingPage from './pages/LandingPage.vue';

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', component: LandingPage },
    {
      path: '/r/:room',
      component: () => Promise.all([import('./pages/RoomPage.vue'), loadTexts('room')]).then(([page]) => page),
      props: (route) => ({ roomId: route.params.room }),
      // A name that a person typed is brought into the form that the server accepts.
      beforeEnter: (to) => {
        const typed = String(to.params.room);
        const room = parseRoom(typed);
        if (room === '') return '/';
        return room === typed ? true : { path: `/r/${room}`, hash: to.hash, replace: true };
      },
    },
    { path: '/:rest(.*)*', redirect: '/' },
  ],
});
