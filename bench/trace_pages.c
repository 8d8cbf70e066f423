/* A tool for valgrind that tells which pages a program touches when: instruction fetches, loads and stores.
 *
 *     valgrind --tool=pages --instructions=N --ticks=N --slices=N PROGRAM…
 *
 * `instructions` make a tick, `ticks` a slice. When a slice ends there is a line "slice page ticks" for every page
 * touched in it: the ticks in which it was touched at least once; the page number in hex. The program is ended after
 * `slices` slices; a last slice that is not full is left out. bench/make_traces.py builds and runs it.
 */
#include "pub_tool_basics.h"
#include "pub_tool_libcassert.h"
#include "pub_tool_libcbase.h"
#include "pub_tool_libcprint.h"
#include "pub_tool_libcproc.h"
#include "pub_tool_machine.h"
#include "pub_tool_options.h"
#include "pub_tool_tooliface.h"

enum { PAGE_SHIFT = 12, SLOTS = 1 << 20, RECENT = 1 << 12 };

typedef struct {
    ULong number; /* of the page, plus 1: 0 is an empty slot */
    ULong last;   /* the tick that was counted last, plus 1 */
    UInt ticks;   /* in this slice */
} Page;

static Page pages[SLOTS];
static ULong recent[RECENT]; /* the last page of each slot that was counted in this tick, plus 1 */
static SizeT used;
static Int per_tick = 500000, per_slice = 200, slices = 30;
static Int left;           /* instructions of this tick */
static ULong tick, slice;

static Page *page_of(ULong number)
{
    SizeT at = (SizeT)((number * 0x9e3779b97f4a7c15ULL) >> 44);
    while (pages[at].number != number + 1) {
        if (pages[at].number == 0) {
            tl_assert2(++used < SLOTS / 2, "too many pages");
            pages[at].number = number + 1;
            break;
        }
        at = (at + 1) % SLOTS;
    }
    return &pages[at];
}

static VG_REGPARM(1) void touch(Addr address)
{
    ULong number = address >> PAGE_SHIFT;
    if (recent[number % RECENT] == number + 1)
        return;
    recent[number % RECENT] = number + 1;
    Page *page = page_of(number);
    if (page->last != tick + 1) {
        page->last = tick + 1;
        page->ticks++;
    }
}

static void end_slice(void)
{
    for (SizeT i = 0; i < SLOTS; i++)
        if (pages[i].ticks) {
            VG_(printf)("%llu %llx %u\n", slice, pages[i].number - 1, pages[i].ticks);
            pages[i].ticks = 0;
        }
    if (++slice == (ULong)slices)
        VG_(exit)(0);
}

static VG_REGPARM(1) void pass(HWord instructions)
{
    left -= (Int)instructions;
    if (left > 0)
        return;
    left += per_tick;
    VG_(memset)(recent, 0, sizeof(recent));
    if (++tick % (ULong)per_slice == 0)
        end_slice();
}

static void call(IRSB *sb, const HChar *name, void *function, IRExpr *argument)
{
    IRDirty *dirty =
        unsafeIRDirty_0_N(1, name, VG_(fnptr_to_fnentry)(function), mkIRExprVec_1(argument));
    addStmtToIRSB(sb, IRStmt_Dirty(dirty));
}

/* Only the first byte counts: what reaches over the end of a page is rare and soon touched by itself. */
static void touch_at(IRSB *sb, IRExpr *address)
{
    call(sb, "touch", touch, address);
}

static void passed(IRSB *sb, UInt *instructions)
{
    if (*instructions)
        call(sb, "pass", pass, mkIRExpr_HWord(*instructions));
    *instructions = 0;
}

static IRSB *instrument(VgCallbackClosure *closure, IRSB *in, const VexGuestLayout *layout,
                        const VexGuestExtents *extents, const VexArchInfo *info, IRType word, IRType host)
{
    (void)closure, (void)layout, (void)extents, (void)info, (void)word, (void)host;
    IRSB *out = deepCopyIRSBExceptStmts(in);
    ULong code = 0; /* the page of code that was counted last, plus 1 */
    UInt instructions = 0;
    for (Int i = 0; i < in->stmts_used; i++) {
        IRStmt *st = in->stmts[i];
        if (st == NULL || st->tag == Ist_NoOp)
            continue;
        switch (st->tag) {
        case Ist_IMark:
            instructions++;
            if ((st->Ist.IMark.addr >> PAGE_SHIFT) + 1 != code) {
                code = (st->Ist.IMark.addr >> PAGE_SHIFT) + 1;
                touch_at(out, mkIRExpr_HWord((HWord)st->Ist.IMark.addr));
            }
            break;
        case Ist_WrTmp:
            if (st->Ist.WrTmp.data->tag == Iex_Load)
                touch_at(out, st->Ist.WrTmp.data->Iex.Load.addr);
            break;
        case Ist_Store:
            touch_at(out, st->Ist.Store.addr);
            break;
        case Ist_StoreG:
            touch_at(out, st->Ist.StoreG.details->addr);
            break;
        case Ist_LoadG:
            touch_at(out, st->Ist.LoadG.details->addr);
            break;
        case Ist_Dirty:
            if (st->Ist.Dirty.details->mFx != Ifx_None)
                touch_at(out, st->Ist.Dirty.details->mAddr);
            break;
        case Ist_CAS:
            touch_at(out, st->Ist.CAS.details->addr);
            break;
        case Ist_LLSC:
            touch_at(out, st->Ist.LLSC.addr);
            break;
        case Ist_Exit:
            passed(out, &instructions);
            break;
        default:
            break;
        }
        addStmtToIRSB(out, st);
    }
    passed(out, &instructions);
    return out;
}

static Bool option(const HChar *arg)
{
    return VG_BINT_CLO(arg, "--instructions", per_tick, 1000, 1000000000) ||
           VG_BINT_CLO(arg, "--ticks", per_slice, 1, 1000000) || VG_BINT_CLO(arg, "--slices", slices, 1, 1000000);
}

static void usage(void)
{
    VG_(printf)("    --instructions=N  --ticks=N  --slices=N\n");
}

static void debug_usage(void)
{
    VG_(printf)("    (none)\n");
}

static void begin(void)
{
    left = per_tick;
}

static void finish(Int status)
{
    (void)status;
    VG_(umsg)("%llu full slices\n", slice);
}

static void before_options(void)
{
    VG_(details_name)("pages");
    VG_(details_version)(NULL);
    VG_(details_description)("which pages are touched when");
    VG_(details_copyright_author)("Part of udamon.");
    VG_(details_bug_reports_to)("udamon");
    VG_(basic_tool_funcs)(begin, instrument, finish);
    VG_(needs_command_line_options)(option, usage, debug_usage);
}

VG_DETERMINE_INTERFACE_VERSION(before_options)
