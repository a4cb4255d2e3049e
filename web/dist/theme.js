// Runs before the first paint, so that a chosen theme or language never flashes the other one.
// A file of its own because the content security policy allows no inline script.
(function () {
  try {
    var root = document.documentElement
    var theme = localStorage.getItem('confab:theme')
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme
    var language = localStorage.getItem('confab:language') || navigator.language || 'en'
    if (language.slice(0, 2) === 'ar') {
      root.lang = 'ar'
      root.dir = 'rtl'
    }
  } catch (error) {
    // Storage can be forbidden; the system's theme then applies.
    console.debug('preferences are not readable', error)
  }
})()
