// A chart whose files are fetched when one is first shown: views are seen before them. Properties: see chart_plot.
import { later } from "../views/later.js";

export const Chart = later(null, () => import("./chart_plot.js").then((file) => file.Chart));
