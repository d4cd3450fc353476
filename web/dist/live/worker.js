var s=0;addEventListener("message",({data:e})=>{clearInterval(s),e>0&&(s=setInterval(()=>postMessage(0),e))});
