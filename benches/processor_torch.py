"""What benches/processor.rs measures, in PyTorch eager (2.15.0): python3 processor_torch.py [threads] [part of a name]."""
import torch,time,sys
import torch.nn as nn, torch.nn.functional as F
torch.set_num_threads(int(sys.argv[1])); only=sys.argv[2] if len(sys.argv)>2 else ''
class Block(nn.Module):
    def __init__(s,w,h):
        super().__init__(); s.h=h
        s.ada=nn.Linear(w,6*w); s.n1=nn.LayerNorm(w,eps=1e-6,elementwise_affine=False); s.n2=nn.LayerNorm(w,eps=1e-6,elementwise_affine=False)
        s.qkv=nn.Linear(w,3*w); s.out=nn.Linear(w,w); s.up=nn.Linear(w,4*w); s.down=nn.Linear(4*w,w)
    def forward(s,x,c):
        a=s.ada(F.silu(c)).chunk(6,1)
        h=s.n1(x)*(1+a[1].unsqueeze(1))+a[0].unsqueeze(1)
        B,N,C=h.shape
        q,k,v=s.qkv(h).reshape(B,N,3,s.h,C//s.h).permute(2,0,3,1,4).unbind(0)
        o=F.scaled_dot_product_attention(q,k,v).transpose(1,2).reshape(B,N,C)
        x=x+a[2].unsqueeze(1)*s.out(o)
        h=s.n2(x)*(1+a[4].unsqueeze(1))+a[3].unsqueeze(1)
        return x+a[5].unsqueeze(1)*s.down(F.gelu(s.up(h),approximate='tanh'))
class DiT(nn.Module):
    def __init__(s,w=384,h=6,d=12):
        super().__init__(); s.emb=nn.Linear(16,w); s.blocks=nn.ModuleList(Block(w,h) for _ in range(d)); s.ada=nn.Linear(w,2*w); s.n=nn.LayerNorm(w,eps=1e-6,elementwise_affine=False); s.o=nn.Linear(w,32)
    def forward(s,x,c):
        x=s.emb(x)
        for b in s.blocks: x=b(x,c)
        sh,sc=s.ada(F.silu(c)).chunk(2,1)
        return s.o(s.n(x)*(1+sc.unsqueeze(1))+sh.unsqueeze(1))
def bench(name,f,fl,secs=1.5):
    if only not in name: return
    best=9;t0=time.perf_counter();n=0
    with torch.inference_mode():
        while n<5 or (time.perf_counter()-t0<secs and n<500):
            t=time.perf_counter();f();best=min(best,time.perf_counter()-t);n+=1
    print(f"{name} {best*1e3:.3f} {fl/best/1e9:.1f}")
m=DiT().eval()
for n,T in [("dit_s_2",256),("dit_s_2_1024",1024)]:
    x=torch.randn(2,T,16);c=torch.randn(2,384); bench(n,lambda:m(x,c),12*(24*384*384*2*T+4*2*T*T*384))
for M,K,N in [(1024,1024,1024),(512,384,1536),(512,1536,384),(2048,1152,1152)]:
    a=torch.randn(M,K);l=nn.Linear(K,N,bias=False); bench(f"product_{M}_{K}_{N}",lambda:l(a),2*M*N*K)
for B,H,T,D in [(2,6,256,64),(2,6,1024,64),(2,16,256,72),(1,1,1024,512)]:
    q=torch.randn(B,T,3*H*D)
    def f():
        a,b,c=q.reshape(B,T,3,H,D).permute(2,0,3,1,4).unbind(0); return F.scaled_dot_product_attention(a,b,c).transpose(1,2).reshape(B,T,H*D)
    bench(f"attention_{B}_{H}_{T}_{D}",f,4*B*H*T*T*D)
