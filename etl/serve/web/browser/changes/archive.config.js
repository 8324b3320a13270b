// What is set otherwise than the STAC Browser comes with.
module.exports = {
  ...require("./config"),
  catalogUrl: "/catalog.json",
  catalogTitle: "Sentinel-3 NDVI archive",
  pathPrefix: "/browser/",
  historyMode: "hash",
  footerLinks: [{ label: "All about this archive", url: "/" }],
};
