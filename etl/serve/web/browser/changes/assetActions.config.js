import { HowToOpen, OnTheMap } from "./src/actions/assets/ZarrGroup.js";

export default { OnTheMap, HowToOpen };
