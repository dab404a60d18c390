/*
 * What the page runs. The one script is in the page, allowed by its hash; it starts the other,
 * a worker, so that the page stays alive while it counts. Neither takes anything but the two
 * values that stand in the page: what has to be proved is not theirs to choose.
 *
 * The worker has SHA-256 of its own (FIPS 180-4), for one block: asking the browser's for each
 * hash takes forty times as long, which would be the visitor's time and not a scraper's.
 */
#include "auth/bots/stage.h"

const struct span bots_script_main = SPAN_INIT(
    "(()=>{\"use strict\";\n"
    "const at=id=>document.getElementById(id),data=document.querySelector(\"main\").dataset;\n"
    "const stop=text=>{at(\"state\").textContent=text;at(\"bar\").hidden=true;"
    "at(\"manual\").hidden=false};\n"
    "addEventListener(\"pageshow\",e=>{if(e.persisted)location.reload()});\n"
    "if(!navigator.cookieEnabled)return stop(\"Your browser keeps no cookies for this site. "
    "Please allow them, then try again.\");\n"
    "let seen=0;\n"
    "try{const kept=JSON.parse(sessionStorage.getItem(\"sallyport\")||\"[]\")"
    ".filter(t=>Date.now()-t<6e4);seen=kept.push(Date.now());"
    "sessionStorage.setItem(\"sallyport\",JSON.stringify(kept))}catch(e){}\n"
    "if(seen>4)return stop(\"The check was passed, and comes back: your browser does not keep "
    "the cookie that it sets, or your address changes all the time.\");\n"
    "let worker;\n"
    "const blocked=()=>stop(\"The script that does the check could not be run. Something in "
    "your browser blocks it.\");\n"
    "try{worker=new Worker(data.worker)}catch(e){return blocked()}\n"
    "worker.onerror=blocked;\n"
    "worker.onmessage=({data:said})=>{\n"
    "if(said.proof===undefined){at(\"bar\").value=said.done;return}\n"
    "const form=at(\"answer\");\n"
    "form.elements.proof.value=said.proof;form.action+=location.hash;\n"
    "at(\"bar\").value=1;at(\"state\").textContent=\"Done. Taking you "
    "there.\";form.submit()};\n"
    "worker.postMessage({seed:data.seed,bits:Number(data.bits)})})()");

const struct span bots_script_worker =
    SPAN_INIT("\"use strict\";\n"
              "const K=new Int32Array(64),H=new Int32Array(8),W=new Int32Array(64);\n"
              "const part=x=>(x-Math.floor(x))*4294967296|0;\n"
              "for(let n=2,k=0;k<64;n++){let prime=true;\n"
              "for(let i=2;i*i<=n;i++)if(n%i===0)prime=false;\n"
              "if(prime){if(k<8)H[k]=part(Math.sqrt(n));K[k++]=part(Math.cbrt(n))}}\n"
              "const first=text=>{\n"
              "const len=text.length;W.fill(0,0,16);\n"
              "for(let i=0;i<len;i++)W[i>>2]|=text.charCodeAt(i)<<24-8*(i&3);\n"
              "W[len>>2]|=128<<24-8*(len&3);W[15]=8*len;\n"
              "for(let i=16;i<64;i++){const x=W[i-15],y=W[i-2];\n"
              "W[i]=W[i-16]+((x>>>7|x<<25)^(x>>>18|x<<14)^x>>>3)+W[i-7]+"
              "((y>>>17|y<<15)^(y>>>19|y<<13)^y>>>10)}\n"
              "let a=H[0],b=H[1],c=H[2],d=H[3],e=H[4],f=H[5],g=H[6],h=H[7];\n"
              "for(let i=0;i<64;i++){\n"
              "const s=h+((e>>>6|e<<26)^(e>>>11|e<<21)^(e>>>25|e<<7))+(e&f^~e&g)+K[i]+W[i]|0;\n"
              "const t=((a>>>2|a<<30)^(a>>>13|a<<19)^(a>>>22|a<<10))+(a&b^a&c^b&c)|0;\n"
              "h=g;g=f;f=e;e=d+s|0;d=c;c=b;b=a;a=s+t|0}\n"
              "return a+H[0]>>>0};\n"
              "onmessage=({data:{seed,bits}})=>{\n"
              "const below=2**(32-bits);\n"
              "for(let n=0;;n++){\n"
              "if(first(seed+\":\"+n)<below){postMessage({proof:String(n)});return}\n"
              "if(n%8192===8191)postMessage({done:1-Math.exp(-n/2**bits)})}};\n");
