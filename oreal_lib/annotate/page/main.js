import { View } from "./view.js";

/** What anywidget calls for each place in which the widget is shown; what it returns takes it away. */
function render({ model, el }) {
  const view = new View({ model, el });
  return () => view.end();
}

export default { render };
