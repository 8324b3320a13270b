// What one can do with a Zarr group, which is a folder: see it in the viewer, or learn how to open it.
import AssetActionPlugin from "../AssetActionPlugin";

class ZarrGroupAction extends AssetActionPlugin {
  /** The address of the archive and the continent's folder, if the group is on this server. */
  get place() {
    const found = this.component.href?.match(/^(.*)\/([^/]+)\/ndvi\.zarr\/?$/);
    if (!found || !this.asset.type?.startsWith("application/vnd.zarr")) return null;
    const archive = new URL(`${found[1]}/`, location.href);
    return archive.origin === location.origin && archive.pathname === "/" ? { archive, folder: found[2] } : null;
  }

  get show() {
    return this.place !== null;
  }

  get btnOptions() {
    return { href: this.uri };
  }
}

export class OnTheMap extends ZarrGroupAction {
  get uri() {
    const { archive, folder } = this.place;
    const address = new URL(`viewer/?continent=${folder}`, archive);
    const { datetime, platform } = this.asset.getContext()?.properties ?? {};
    if (datetime) {
      address.searchParams.set("time", new Date(datetime).toISOString());
      // Both satellites can have a frame at one second; "sentinel-3a" is S3A.
      address.searchParams.set("satellite", `S${platform.split("-")[1].toUpperCase()}`);
    }
    return address.href;
  }

  get text() {
    return "View on a map";
  }
}

export class HowToOpen extends ZarrGroupAction {
  get uri() {
    const { archive, folder } = this.place;
    return new URL(`#${folder}`, archive).href;
  }

  get text() {
    return "How to open it";
  }
}
