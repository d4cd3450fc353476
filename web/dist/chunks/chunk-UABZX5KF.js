import{e}from"./chunk-KPDRJB25.js";var o=0;function r(i){let t=e("toast");t.textContent=i,t.hidden=!1,clearTimeout(o),o=window.setTimeout(()=>{t.hidden=!0},4e3)}export{r as a};
