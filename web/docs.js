// The document of the API as a page on which each request can be tried. The viewer is Swagger UI; the service brings it along.

const dark = matchMedia('(prefers-color-scheme: dark)');
function scheme() {
  const chosen = document.documentElement.dataset.theme;
  document.documentElement.classList.toggle('dark-mode', chosen ? chosen === 'dark' : dark.matches);
}
scheme();
dark.addEventListener('change', scheme);

/** What assistive technology stumbles over in the viewer's own markup. */
const mended = () => ({
  wrapComponents: {
    // A button and a link inside of a button.
    CopyToClipboardBtn: () => () => null,
    DeepLink: (_original, { React }) => ({ text }) => React.createElement('span', null, text),
    // A heading between the title and those of the groups.
    operations: (Original, { React }) => (props) => React.createElement(React.Fragment, null, React.createElement('h2', { className: 'unseen' }, 'Requests'), React.createElement(Original, props)),
  },
});

globalThis.SwaggerUIBundle({
  dom_id: '#swagger-ui',
  url: '/api/v1/openapi.json',
  // The validator is a service of somebody else.
  validatorUrl: 'none',
  deepLinking: true,
  displayOperationId: true,
  showExtensions: true,
  presets: [globalThis.SwaggerUIBundle.presets.apis],
  plugins: [mended],
});
